// The rules of the tree: typescript-eslint's strictest set, and the floors of the design.
import path from 'node:path';
import eslint from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Each room (a folder of src/), with what it may import besides itself: rooms below it, or files directly in src/.
 * host.ts, boot-driver.ts, examine-store.ts and index.ts stand above the rooms, wire them together and may import anything.
 */
const floors = {
  base: [],
  json: ['base'],
  images: ['base'],
  container: ['base'],
  drivers: ['base', 'json', 'images', 'container'],
  telemetry: ['base', 'drivers'],
  protocol: ['base', 'json', 'drivers', 'images', 'container'],
  library: ['base', 'images', 'container', 'drivers', 'host.ts'],
  cli: ['base', 'json', 'protocol', 'host.ts'],
};

const source = path.join(import.meta.dirname, 'src');

/** The room of a file (its folder directly under src/), or the file's own name where it stands directly in src/. */
function roomOf(file) {
  const relative = path.relative(source, file);
  return relative.startsWith('..') ? undefined : relative.split(path.sep)[0];
}

/** Reports an import that points up or sideways between the floors. */
const floorRule = {
  meta: {
    type: 'problem',
    schema: [],
    messages: { up: '{{from}} may not import from {{to}}: see `floors` in eslint.config.js.' },
  },
  create(context) {
    const from = roomOf(context.filename);
    if (from === undefined) return {};
    const allowed = floors[from] && [from, ...floors[from]];
    if (allowed === undefined) return {};
    const check = (node) => {
      const target = node.source?.value;
      if (typeof target !== 'string' || !target.startsWith('.')) return;
      const to = roomOf(path.resolve(path.dirname(context.filename), target));
      if (to === undefined || !allowed.includes(to)) {
        context.report({ node, messageId: 'up', data: { from, to: to ?? target } });
      }
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
    };
  },
};

export default defineConfig(
  globalIgnores([
    'dist/',
    'node_modules/',
    'native/build/',
    // AssemblyScript: TypeScript's grammar, another language's types.
    'native/json-blocks/',
    '.babelhost/',
    'test/**/fixtures/',
    'catalog/**/samples/',
    'catalog/*/build/',
  ]),
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // The other way round: `!` is refused, so that a cast with its reason beside it is what remains.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { babelhost: { rules: { floors: floorRule } } },
    rules: { 'babelhost/floors': 'error', 'no-console': 'error' },
  },
  {
    // Drivers run by themselves in images, and this file in ESLint: plain scripts, outside the TypeScript project.
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: { globals: { process: 'readonly', Buffer: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
);
