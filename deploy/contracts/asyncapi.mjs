// Holds an AsyncAPI document against the schema and the rules of AsyncAPI itself, examples included.
//
// usage: asyncapi.mjs FOLDER-WITH-THE-PARSER FILE

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, file] = process.argv.slice(2);
const { Parser } = createRequire(`${folder}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
// What is no error is advice: a server of each environment, say.
const errors = diagnostics.filter(({ severity }) => severity === 0);
for (const { code, message, path } of errors) {
  console.error(`${path.join(".")}: ${message} (${code})`);
}
if (errors.length > 0 || document === undefined) process.exit(1);
console.log(`${file}: AsyncAPI ${document.version()}, ${document.messages().length} messages`);
