/**
 * Watches for minutes while two processes make and drop 1,000 links a second each: `deno run -A bench/churn.ts
 * [MINUTES]`, as root; 10 minutes if absent. Fails if a change that lasts was missed, or something is left.
 */
import { closeIterator } from "../lib/listing/iterator.ts";
import { watchChurn } from "../tests/fixture/process/churn.ts";
import { withoutLeaks } from "../tests/fixture/run/leaks.ts";

const WARM_SECONDS = 30;

const minutes = Number(Deno.args[0] ?? 10);
if (!(minutes > 0 && minutes <= 60)) {
  console.error("MINUTES must be more than 0 and at most 60");
  Deno.exit(2);
}

const churn = { perSecond: 1000, lifeMs: 4000, intervalMs: 100, source: "iterator" } as const;
await watchChurn({ ...churn, seconds: 1 }); // what is opened once is no leak
closeIterator();

const resident: number[] = []; // MB, each second
await withoutLeaks(async () => {
  const onSecond = (seconds: number) => {
    resident.push(Deno.memoryUsage().rss / 2 ** 20);
    if (seconds % 60 === 0) console.log(`${seconds} s: ${resident.at(-1)!.toFixed(1)} MB`);
  };
  const { lasting, missed, unseen, wrong, told } = await watchChurn({ ...churn, seconds: minutes * 60, onSecond });
  closeIterator();
  console.log(`${lasting} lasting links: ${missed} missed; ${told} links told: ${wrong} wrongly`);
  if (unseen > 0) console.log(`${unseen} more came and went while this process was kept from running`);
  if (missed + wrong > 0 || lasting === 0) Deno.exitCode = 1;
});
console.log("no fd, link, program or map left");

// the collector's saw is some MB high: the lowest of some seconds is what is held
const warm = resident.slice(Math.min(WARM_SECONDS, resident.length >> 1)), part = Math.ceil(warm.length / 4);
const low = (seconds: readonly number[]) => `${Math.min(...seconds).toFixed(1)} MB`;
console.log(`resident memory: ${low(warm.slice(0, part))} after the warm-up, ${low(warm.slice(-part))} at the end`);
