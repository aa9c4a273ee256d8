import { readFileSync } from 'node:fs';
import { globSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { protocolDocument } from '../../scripts/protocol-document.ts';
import { methods } from '../../src/protocol/methods.ts';
import { openRpcDocument } from '../../src/protocol/openrpc.ts';

const project = new URL('../../', import.meta.url);

describe('the documents made from the method table', () => {
  it('docs/protocol.md is up to date (npm run protocol-document)', () => {
    expect(readFileSync(new URL('docs/protocol.md', project), 'utf8')).toBe(protocolDocument());
  });

  it('the OpenRPC document has every method, by-name parameters, and errors that resolve', () => {
    const document = openRpcDocument() as unknown as {
      openrpc: string;
      methods: {
        name: string;
        paramStructure: string;
        params: { name: string; schema: object }[];
        errors: { $ref: string }[];
      }[];
      components: { errors: Record<string, { code: number }> };
    };
    expect(document.openrpc).toMatch(/^1\.3\./);
    expect(document.methods.map(({ name }) => name)).toEqual(Object.keys(methods));
    for (const method of document.methods) {
      expect(method.paramStructure).toBe('by-name');
      for (const { $ref } of method.errors) {
        const kind = $ref.replace('#/components/errors/', '');
        expect(document.components.errors[kind]?.code).toBeGreaterThan(1000);
      }
    }
    const parse = document.methods.find(({ name }) => name === 'parse');
    expect(parse?.params.map(({ name }) => name)).toContain('timeoutMs');
    // It travels as JSON: nothing in it may be lost on the way.
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
  });
});

describe('the dependencies', () => {
  it('have one copy of vscode-jsonrpc', () => {
    expect(globSync('node_modules/**/vscode-jsonrpc/package.json', { cwd: project.pathname })).toEqual([
      'node_modules/vscode-jsonrpc/package.json',
    ]);
  });
});
