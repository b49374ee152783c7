// Milliseconds for import and first operation of the script that is named, without Deno's start.
const start = performance.now();
await import(Deno.args[0]!);
console.log(performance.now() - start);
