/** What the doc comments of lib/sys/token.ts say. */
import { assertEquals } from "@std/assert";
import { tokenCreate } from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { claim, IN_USER_NAMESPACE, misuse, NO_FD, refusal, unprivileged, withOnly } from "../../fixture/run/claims.ts";
import { ownBpffs } from "../../fixture/run/own.ts";
import { inTokenNamespace } from "../../fixture/place/token_mount.ts";

const since = "6.9";

misuse("tokenCreate: RangeError, `bpffsFd` is no fd", () => tokenCreate(-1));
refusal("tokenCreate: EBADF, `bpffsFd` is not open", { since }, () => tokenCreate(NO_FD));
refusal("tokenCreate: EINVAL, it is on no bpf file system", { since }, (own) => tokenCreate(own.file("/tmp")));
refusal(
  "tokenCreate: EINVAL, it is not the root of a bpf file system",
  { since, needs: ["bpffs"] },
  (own) => tokenCreate(own.file(own.use(new PinDirectory()).path)),
);
refusal(
  "tokenCreate: EINVAL, the kernel is older",
  { before: since, needs: ["bpffs"] },
  (own) => tokenCreate(own.file(ownBpffs()!)),
);
claim("tokenCreate: EPERM, the caller is in another user namespace than the file system", {
  since,
  needs: ["bpffs", "userns"],
}, async () => {
  const call = `tokenCreate(open("${ownBpffs()}"))`;
  assertEquals(await unprivileged(call, "", IN_USER_NAMESPACE), "EPERM");
});
claim("tokenCreate: EPERM, CAP_BPF is missing; CAP_SYS_ADMIN does not stand in for it", {
  since,
  needs: ["bpffs", "setpriv"],
}, async () => {
  const call = `tokenCreate(open("${ownBpffs()}"))`;
  assertEquals(await unprivileged(call, "", withOnly("sys_admin", "dac_override")), "EPERM");
});
refusal(
  "tokenCreate: EOPNOTSUPP, the file system belongs to the initial user namespace",
  { since, needs: ["bpffs"] },
  (own) => tokenCreate(own.file(ownBpffs()!)),
);
claim("tokenCreate: ENOENT, the mount delegates nothing", { since, needs: ["userns"] }, async () => {
  const source = "try { tokenCreate(root); } catch (error) { console.log(error.code); }";
  assertEquals(await inTokenNamespace({}, source), "ENOENT");
});
claim(
  "tokenCreate: returns an fd of the token, close-on-exec, that stands in for capabilities",
  { since, needs: ["userns"] },
  async () => {
    const source = `
    const token = tokenCreate(root), about = Deno.readTextFileSync("/proc/self/fdinfo/" + token);
    const [, flags] = /^flags:\\s*(\\d+)/m.exec(about);
    console.log((parseInt(flags, 8) & 0o2000000) !== 0);
    for (const options of [{}, { tokenFd: token }]) {
      try {
        close(mapCreate("hash", 4, 8, 16, options));
        console.log("made");
      } catch (error) {
        console.log(error.code);
      }
    }`;
    const delegates = { delegate_cmds: "any", delegate_maps: "any", delegate_progs: "any", delegate_attachs: "any" };
    assertEquals(await inTokenNamespace(delegates, source), "true\nEPERM\nmade");
  },
);
