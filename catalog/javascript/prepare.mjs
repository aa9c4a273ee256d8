// Makes what lets the driver start quickly: Babel's parser as a script, with V8's cache of its compiled functions.
//
//     node prepare.mjs FOLDER
//
// The files go to their places in the image, below FOLDER; the recipe takes them from build/. The cache fits the Node
// that runs this, which has to be the one in the image; another ignores it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Script } from 'node:vm';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node prepare.mjs FOLDER');

const manifest = createRequire(import.meta.url).resolve('@babel/parser/package.json');
const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
const entry = path.join(path.dirname(manifest), 'lib/index.js');
const module = readFileSync(entry, 'utf8');

// The package is one module without imports that ends with its one export. As a function it can be cached.
const exported = /^export \{([\w\s,]+)\};$/gm;
if (/^import\b/m.test(module) || module.match(exported)?.length !== 1) {
  throw new Error(`${entry} is no longer a single module with one list of exports: this script has to follow it.`);
}
const body = module.replace(exported, 'return {$1};').replace(/^\/\/# sourceMappingURL=.*$/m, '');
// Letters beyond ASCII stand in strings and regular expressions only, where they can be escaped.
const ascii = body.replace(/[^\0-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
const source = `(function () { 'use strict';\n${ascii}\n})`;
const script = new Script(source, { filename: 'parser.js' });
const { parse } = script.runInThisContext()();

// Functions that have run are in the cache, compiled: these sources call for most of the parser, and for its plugins.
for (const plugins of [['jsx'], ['typescript'], ['flow', 'jsx']]) {
  parse(module, { sourceType: 'module', errorRecovery: true, attachComment: false, plugins });
}
parse('enum A { B } let a: C<D> = <E>(f as G)!; abstract class H<I> implements J { private k?: L }', {
  sourceType: 'module',
  plugins: ['typescript'],
});
parse('const a = <b c="d" {...e}>{f} g</b>;', { plugins: ['jsx'] });

const target = path.join(folder, 'opt/driver/lib');
mkdirSync(target, { recursive: true });
writeFileSync(path.join(target, 'parser.js'), source, 'latin1');
writeFileSync(path.join(target, 'parser.cache'), script.createCachedData());
writeFileSync(path.join(target, 'parser.json'), `${JSON.stringify({ version, node: process.version })}\n`);
