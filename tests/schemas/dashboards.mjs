// Checks dashboards against the types that Grafana publishes: the dashboard as a whole, and the options and field
// settings of each panel by its type.
//
//     node dashboards.mjs DASHBOARD.json...

import Ajv from "ajv";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createGenerator } from "ts-json-schema-generator";

const types = join(dirname(createRequire(import.meta.url).resolve("@grafana/schema/package.json")), "dist/types/raw");
const ajv = new Ajv({ strict: false, allErrors: true });

function validator(file, type) {
  const schema = createGenerator({ path: file, type, skipTypeCheck: true, additionalProperties: false }).createSchema(type);
  return ajv.compile(schema);
}

// Prometheus' annotations keep their query beside Grafana's own keys.
const PROMETHEUS = ["expr", "step", "titleFormat", "textFormat", "useValueForTime"];

function isOurs(error) {
  return !(error.instancePath.startsWith("/annotations/") && PROMETHEUS.includes(error.params.additionalProperty));
}

// Grafana fills in what the settings of a panel leave out, so nothing of them is required.
function lenient(error) {
  return error.keyword !== "required";
}

const made = new Map();

// The settings of a panel's type: the folder is its name without dashes.
function settings(kind, type) {
  const folder = join(types, "composable", kind.replaceAll("-", ""), "panelcfg/x");
  const file = join(folder, readdirSync(folder).find((name) => name.endsWith("types.gen.d.ts")));
  const key = `${kind} ${type}`;
  if (!made.has(key)) {
    made.set(key, readFileSync(file, "utf8").includes(`interface ${type} `) ? validator(file, type) : null);
  }
  return made.get(key);
}

const dashboard = validator(join(types, "dashboard/x/types.gen.d.ts"), "Dashboard");
let faults = 0;

function check(where, validate, value, counts = () => true) {
  if (!validate || validate(value)) return;
  for (const error of validate.errors.filter(counts)) {
    console.error(`${where}${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`);
    faults += 1;
  }
}

let panels = 0;
for (const file of process.argv.slice(2)) {
  const json = JSON.parse(readFileSync(file, "utf8"));
  check(file, dashboard, json, isOurs);
  for (const panel of json.panels.filter((one) => one.type !== "row")) {
    const where = `${file}: panel ${panel.id} (${panel.title})`;
    check(`${where} options`, settings(panel.type, "Options"), panel.options, lenient);
    check(`${where} custom`, settings(panel.type, "FieldConfig"), panel.fieldConfig.defaults.custom ?? {}, lenient);
    panels += 1;
  }
}
if (faults) process.exit(1);
console.log(`${process.argv.length - 2} dashboards, ${panels} panels`);
