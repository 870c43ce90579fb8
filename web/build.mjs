// Builds the page into the package that serves it: node build.mjs [folder]

import { build } from "esbuild";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { licences } from "./licences.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const packaged = "../services/orchestrator/src/stagewire_orchestrator/static";
const out = path.resolve(here, process.argv[2] ?? packaged);

await mkdir(out, { recursive: true });
const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "warning" };
await build({
  ...common,
  absWorkingDir: here,
  entryPoints: {
    app: "src/page/main.ts",
    stagewire: "src/index.ts",
    capture: "src/audio/capture-worklet.ts",
    playback: "src/audio/playback-worklet.ts",
    livekit: "src/client/livekit.ts",
  },
  format: "esm",
  outdir: out,
});
await build({ ...common, absWorkingDir: here, entryPoints: ["src/page/app.css"], outdir: out });
await mkdir(path.join(out, "head"), { recursive: true });
await cp(path.join(here, "head/NOTICE.md"), path.join(out, "head/NOTICE.md"));
for (const file of ["index.html", "icon.svg"]) {
  await cp(path.join(here, "src/page", file), path.join(out, file));
}
await writeFile(path.join(out, "livekit.LICENSES.txt"), await licences("livekit-client"));
