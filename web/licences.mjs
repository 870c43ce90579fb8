// The licences of a package and of what it needs, as one text: the page's bundle carries their code.

import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Name, version, licence and full text of `name` and of everything that it depends on. */
export async function licences(name) {
  const found = new Map();
  await walk(name, path.dirname(fileURLToPath(import.meta.url)), found);
  return [...found.keys()].sort().map((key) => found.get(key)).join("\n");
}

async function walk(name, from, found) {
  if (found.has(name)) return;
  const folder = await folderOf(name, from);
  const { version, license, dependencies } = JSON.parse(
    await readFile(path.join(folder, "package.json"), "utf8"),
  );
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copyright)/i.test(file));
  const texts = await Promise.all(files.sort().map((file) => readFile(path.join(folder, file), "utf8")));
  const title = `${name} ${version}: ${license}`;
  found.set(name, [title, "=".repeat(title.length), ...texts.map((text) => text.trim()), ""].join("\n"));
  for (const dependency of Object.keys(dependencies ?? {})) await walk(dependency, folder, found);
}

/** Where Node finds a package: in the nearest `node_modules` above. */
async function folderOf(name, from) {
  const found = path.join(from, "node_modules", name);
  if (await readFile(path.join(found, "package.json")).catch(() => null)) return found;
  const above = path.dirname(from);
  if (above === from) throw new Error(`${name} is not installed`);
  return folderOf(name, above);
}
