// The OpenRPC document (https://spec.open-rpc.org, version 1.3), generated from the method table.
import { z } from 'zod';
import { errorCodes } from '../base/errors.ts';
import { version } from '../base/package.ts';
import type { Method } from './methods/method.ts';
import { methods } from './methods.ts';

/** The document that `rpc.discover` answers with. */
export function openRpcDocument(): { openrpc: string } & Record<string, unknown> {
  return {
    openrpc: '1.3.2',
    info: {
      title: 'babelhost',
      version,
      license: { name: 'Apache-2.0' },
      description:
        'Hosts language drivers in isolated containers. JSON-RPC 2.0 in Content-Length frames, as in LSP, or in lines.',
    },
    methods: Object.entries(methods as Readonly<Record<string, Method>>).map(([name, method]) =>
      describe(name, method),
    ),
    components: {
      errors: Object.fromEntries(
        Object.entries(errorCodes).map(([kind, code]) => [kind, { code, message: kind, data: { kind } }]),
      ),
    },
  };
}

function describe(name: string, method: Method): Record<string, unknown> {
  const { properties = {}, required = [] } = schemaOf(method.params(), 'input') as {
    properties?: Record<string, unknown>;
    required?: readonly string[];
  };
  return {
    name,
    summary: method.summary,
    description: method.description,
    paramStructure: 'by-name',
    params: Object.entries(properties).map(([property, schema]) => ({
      name: property,
      required: required.includes(property),
      schema,
    })),
    result: { name: 'result', schema: schemaOf(method.result(), 'output') },
    errors: method.errors.map((kind) => ({ $ref: `#/components/errors/${kind}` })),
    'x-partial-result': method.partialResult && schemaOf(method.partialResult(), 'output'),
  };
}

/** A schema as JSON Schema, without the `$schema` that OpenRPC has no place for. */
export function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const result: Record<string, unknown> = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  delete result['$schema'];
  return result;
}
