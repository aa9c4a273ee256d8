// Makes the files for a quick start of the driver: its modules and Babel's parser as one script, and V8's cache of the
// functions that the first requests call.
//
//     node prepare.mjs FOLDER
//
// The files go to their places in the image, below FOLDER; the recipe takes them from build/. The cache is for the Node that
// runs this, which must be the one in the image; another ignores it.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Script } from 'node:vm';
import { requests } from './prepare-requests.mjs';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node prepare.mjs FOLDER');

const require = createRequire(import.meta.url);
const library = path.join(import.meta.dirname, 'lib');
const manifest = require.resolve('@babel/parser/package.json');

/** The body of a function that returns the package's exports: the package is one module without imports. */
function parserSource() {
  const entry = path.join(path.dirname(manifest), 'lib/index.js');
  const module = readFileSync(entry, 'utf8');
  const exported = /^export \{([\w\s,]+)\};$/gm;
  if (/^import\b/m.test(module) || module.match(exported)?.length !== 1) {
    throw new Error(`${entry} is no longer a single module with one list of exports: this script has to follow it.`);
  }
  const body = module.replace(exported, 'return {$1};').replace(/^\/\/# sourceMappingURL=.*$/m, '');
  // Letters beyond ASCII are in strings and regular expressions only, where they can be escaped.
  return body.replace(/[^\0-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * The script, a function that runs the driver with the Node modules that it is given, and the place of each of the driver's
 * own modules in it, by which bin/native sees whether they are still the same.
 */
function bundle() {
  const modules = [];
  let source = `(function (nodeModule) {
'use strict';
const known = new Map();
function require(name) {
  if (name.startsWith('node:')) return nodeModule(name);
  if (!known.has(name)) {
    const module = { exports: {} };
    known.set(name, module.exports);
    modules[name](module, require);
    known.set(name, module.exports);
  }
  return known.get(name);
}
const modules = {
'@babel/parser'(module) { module.exports = (function () {\n${parserSource()}\n})(); },\n`;
  for (const name of readdirSync(library).filter((each) => each.endsWith('.cjs'))) {
    const text = readFileSync(path.join(library, name), 'latin1');
    if (/[^\0-\x7f]/.test(text)) throw new Error(`${name} is not in ASCII, which V8 reads without decoding it.`);
    source += `'./${name}'(module, require) {`;
    modules.push({ name, start: source.length, end: source.length + text.length });
    source += `${text}},\n`;
  }
  source += "};\nrequire('./driver.cjs');\n})";
  return { source, modules };
}

const { source, modules } = bundle();
const script = new Script(source, { filename: 'driver.js' });

// Functions that have run are in the cache. The driver runs here with requests from a buffer, and its answers are only
// checked.
const input = Buffer.from(requests.map((request) => `${JSON.stringify(request)}\n`).join(''));
let read = 0;
let answered = '';
const files = {
  readSync(_descriptor, buffer, offset, length) {
    const count = input.copy(buffer, offset, read, Math.min(input.length, read + length));
    read += count;
    return count;
  },
  writeSync(_descriptor, bytes, offset) {
    answered += bytes.toString('latin1', offset);
    return bytes.length - offset;
  },
};
script.runInThisContext()((name) => (name === 'node:fs' ? files : process.getBuiltinModule(name)));
const refused = answered.split('\n').filter((line) => line !== '' && !line.startsWith('{"status":"ok"'));
if (refused.length > 0) throw new Error(`A source of prepare-requests.mjs is not parsed: ${refused[0].slice(0, 300)}`);

const target = path.join(folder, 'opt/driver/lib');
const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
mkdirSync(target, { recursive: true });
writeFileSync(path.join(target, 'driver.js'), source, 'latin1');
writeFileSync(path.join(target, 'driver.cache'), script.createCachedData());
writeFileSync(path.join(target, 'driver.json'), `${JSON.stringify({ version, node: process.version, modules })}\n`);
