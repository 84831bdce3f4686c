// Objects of Kubernetes against its schemas and types, without a cluster:
//
//   schemas.mjs FOLDER OBJECTS.json OUT.ts
//
// FOLDER has the npm packages kubernetes-models and
// @kubernetes-models/prometheus-operator. The schemas take unknown fields, as
// Kubernetes itself does; so OUT.ts has the objects as TypeScript, whose compiler
// refuses them.
import { readFileSync, writeFileSync } from "node:fs";

const [folder, objects, out] = process.argv.slice(2);
const lines = [];
let bad = 0;
for (const [number, thing] of JSON.parse(readFileSync(objects)).entries()) {
  const from = thing.apiVersion.startsWith("monitoring.coreos.com/")
    ? "@kubernetes-models/prometheus-operator"
    : "kubernetes-models";
  const module = `${from}/${thing.apiVersion}`;
  const models = await import(`${folder}/${module}/index.js`);
  try {
    new models[thing.kind](thing).validate();
  } catch (error) {
    console.log(`${thing.kind} ${thing.metadata.name}: ${error.message}`);
    bad = 1;
  }
  lines.push(`import { I${thing.kind} as T${number} } from "${module}";`);
  lines.push(`export const object${number}: T${number} = ${JSON.stringify(thing)};`);
}
writeFileSync(out, lines.join("\n") + "\n");
process.exit(bad);
