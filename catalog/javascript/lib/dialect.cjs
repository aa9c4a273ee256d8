// Lists the dialects of JavaScript that a source may be in, the likeliest first, by its language, name and pragma.
'use strict';

const javascript = ['jsx', 'decorators', 'decoratorAutoAccessors', 'sourcePhaseImports', 'deferredImportEvaluation'];
const flow = [...javascript, ['flow', { all: true, enums: true }]];
// Only Babel's older kind of decorators has TypeScript's decorators of parameters.
const typed = ['decorators-legacy', 'decoratorAutoAccessors', 'sourcePhaseImports', 'deferredImportEvaluation'];
const typescript = [...typed, 'typescript'];
const declarations = [...typed, ['typescript', { dts: true }]];
const tsx = [...typescript, 'jsx'];

const esm = 'module';
const script = 'script';
/** Babel decides by the presence of import and export. */
const either = 'unambiguous';

/** By the extension of a file's name. */
const extensions = new Map([
  ['js', { family: 'javascript', plugins: javascript, sourceType: either }],
  ['jsx', { family: 'jsx', plugins: javascript, sourceType: either }],
  ['mjs', { family: 'javascript', plugins: javascript, sourceType: esm }],
  ['es6', { family: 'javascript', plugins: javascript, sourceType: either }],
  ['cjs', { family: 'javascript', plugins: javascript, sourceType: script }],
  ['flow', { family: 'flow', plugins: flow, sourceType: either }],
  ['ts', { family: 'typescript', plugins: typescript, sourceType: either }],
  ['mts', { family: 'typescript', plugins: typescript, sourceType: esm }],
  // TypeScript writes import and export in CommonJS files too.
  ['cts', { family: 'typescript', plugins: typescript, sourceType: either }],
  ['tsx', { family: 'tsx', plugins: tsx, sourceType: either }],
]);

/** By the language of a request: the families of extensions that it goes with, and the dialects to try without those. */
const languages = new Map([
  ['typescript', { families: ['typescript', 'tsx'], plugins: [typescript, tsx] }],
  ['tsx', { families: ['tsx'], plugins: [tsx] }],
  ['jsx', { families: ['javascript', 'jsx', 'flow'], plugins: [javascript, flow] }],
  ['flow', { families: ['flow'], plugins: [flow] }],
]);

const declarationName = /\.d(?:\.[^./]+)?\.[mc]?ts$/;
/** @flow or @noflow in the comments at the start of a file. */
const pragma =
  /^(?:#![^\n]*)?(?:\s+|\/\/[^\n]*\n|\/\*(?:[^*]|\*(?!\/))*?\*\/)*?(?:\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*?)@(?:no)?flow\b/;
/** How far from the start of a file a pragma is looked for, in UTF-16 code units. */
const pragmaLength = 4096;

function hasFlowPragma(source) {
  const head = source.slice(0, pragmaLength);
  return head.includes('flow') && pragma.test(head);
}

/**
 * The dialects to try, in order. The first that parses without error is the file's.
 * @param {{ language: string, filename: string }} hints either may be empty
 * @param {string} source
 * @returns {{ plugins: readonly unknown[], sourceType: 'module' | 'script' | 'unambiguous' }[]}
 */
function dialects({ language, filename }, source) {
  const name = filename.toLowerCase();
  const extension = extensions.get(name.slice(name.lastIndexOf('.') + 1));
  const asked = languages.get(language.toLowerCase());
  // The name says more than the language, unless it is another language's.
  const named = extension !== undefined && (asked === undefined || asked.families.includes(extension.family));
  if (!named) {
    const plugins = asked?.plugins ?? (hasFlowPragma(source) ? [flow] : [javascript, typescript, tsx, flow]);
    return plugins.map((each) => ({ plugins: each, sourceType: either }));
  }
  const { family, plugins, sourceType } = extension;
  if (family === 'typescript' && declarationName.test(name)) return [{ plugins: declarations, sourceType }];
  if (family !== 'javascript' && family !== 'jsx') return [{ plugins, sourceType }];
  // Much Flow is in .js files, with a pragma or, by a setting of the whole project, without.
  return (hasFlowPragma(source) ? [flow] : [javascript, flow]).map((each) => ({ plugins: each, sourceType }));
}

/** The same dialect with the other kind of decorators: each kind accepts a form that the other refuses. */
function otherDecorators({ plugins, sourceType }) {
  const other = (plugin) =>
    plugin === 'decorators' ? 'decorators-legacy' : plugin === 'decorators-legacy' ? 'decorators' : plugin;
  return { plugins: plugins.map(other), sourceType };
}

module.exports = { dialects, otherDecorators };
