// Checks resources of the Prometheus operator against its own definitions: types, patterns and what is required. A key that it
// does not know it does not find: a cluster does.
//
//     node monitors.mjs OBJECTS.json     a list of objects

import * as v1 from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { readFileSync } from "node:fs";

const objects = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const object of objects) {
  const Model = v1[object.kind];
  if (!Model) throw new Error(`no such kind: ${object.kind}`);
  try {
    new Model(object).validate();
  } catch (error) {
    console.error(`${object.kind} ${object.metadata.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
console.log(`${objects.length} objects`);
