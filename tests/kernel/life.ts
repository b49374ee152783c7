/** A link whose life is looked at, and where it is attached. */
import { type CgroupTarget, Link, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { cgroupEgress } from "../fixture/program/programs.ts";
import { kernelTest, type Need } from "../fixture/run/kernel.ts";

/** What most such tests need: a cgroup to attach to and a program. */
export class Scene implements Disposable {
  readonly program: Program = cgroupEgress();
  readonly cgroup: Cgroup = new Cgroup();
  readonly target: CgroupTarget = {
    type: "cgroup",
    cgroup: this.cgroup.path,
    attachType: "cgroup_inet_egress",
  };

  attach(options?: Parameters<typeof Link.attach>[2]): Link<"cgroup"> {
    return Link.attach(this.program, this.target, options);
  }

  attachAsync(options?: Parameters<typeof Link.attachAsync>[2]): Promise<Link<"cgroup">> {
    return Link.attachAsync(this.program, this.target, options);
  }

  [Symbol.dispose](): void {
    this.program.close();
    this.cgroup[Symbol.dispose]();
  }
}

/** Registers a test with a scene of its own. */
export function lifeTest(
  name: string,
  test: (scene: Scene) => void | Promise<void>,
  needs: readonly Need[] = [],
): void {
  kernelTest(name, { needs: ["cgroup2", ...needs] }, async () => {
    using scene = new Scene();
    await test(scene);
  });
}
