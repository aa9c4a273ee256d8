// The requests that the driver answers while it is prepared. V8's cache has the functions that they call: most of the parser
// and of its plugin for TypeScript. Every start reads the whole cache: with JSX, Flow and declaration files it was a sixth
// larger, and the first answer was later for every source. The sources are short, as V8 drops functions that were not
// called for a while.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const library = path.join(import.meta.dirname, 'lib');

/** Syntax that is common in each kind of source and not in the driver's own modules. */
const module = `#!/usr/bin/env node
import a, { b as c, 'd' as e } from 'f' with { type: 'json' };
import * as g from "g";
export * from './h.js'; export * as i from './i.js'; export { c, e as z };
/** Of classes. */
export class A extends (B, C) { static #a = 1; #b; 'c' = 2; [d]; static { this.#a ??= 3; }
  constructor(...rest) { super(...rest); } get e() { return this.#b?.f?.[0]?.(); } set e(value) { super.e = value; }
  static async *g({ h = 1, ...i } = {}, [j, , k = 2, ...l]) { for await (const m of n) yield* m; } async o() { await p; } }
export const q = async (r) => { label: for (const s in t) { if (s) continue label; else break label; } };
export async function* u() {} export default function () { return new.target; }
let v = \`a\${b}c\`, w = tag\`\${d}\\u\`, x = /[a-z]+(?<n>b)/giu, y = 0x1fn + 1_000 + .5e-3 + 0b1 + 0o7;
({ __proto__: null, async *a() {}, get b() { return 1; }, set b(c) {}, [d]: 1, 'e': 2, 3: 4, f, async g() {}, ...h });
[a, b.c, [d = 1]] = e; ({ a, b: { c } } = f); (a, b) => a ** b; async a => await a; a ||= b && (c ?? d); i++; --j;
switch (a) { case 1: case 'b': break; default: throw new Error('é\\n\\x41\\u{1f600}'); }
do { debugger; } while (!a instanceof B || typeof c === 'd' && void 0 != null);
for (let i = 0, j; i < 1; i += 1) ; for (const [k, v] of m) {} try { a(); } catch { b(); } finally { c(); } while (0) {}
delete a.b, a ? b : c; if (import.meta.url) await import('x'); a <= b >> c >>> d | e ^ f & ~g % h / i - +j; using: {}`;
const commonjs = `'use strict';
var __a = (this && this.__a) || (Object.create ? function (o, m, k) { if (k === undefined) k = m; } : (function () {})());
Object.defineProperty(exports, "__esModule", { value: true }); exports.a = void 0; const b = require("b");
module.exports = { ...require('./c'), d: function e() { return arguments.length; } }; var h = "\\0";`;
const typescript = `/// <reference types="node" />
import type { A, B as C } from './a.js'; import { type D, E } from 'e'; import F = require('f'); export type { G } from 'g';
export interface H<T extends object = {}, in out U = never> extends I<T>, J { readonly a: string; b?: number | null;
  (c: this): void; new (d: any): H<T>; [key: string]: unknown; method<K extends keyof T>(e?: T[K], ...f: K[]): asserts e is K;
  get g(): bigint; set g(value: bigint); }
export type L<T> = T extends (infer U extends string)[] ? { readonly [K in keyof T as \`a\${K & string}\`]-?: T[K] } : never;
type M = typeof import('m') & { a: [first: 1, second?: 'b', ...rest: symbol[]] }; type N = abstract new () => void; declare const z: unique symbol;
declare global { var o: number; namespace P.Q { const r: -1; } } declare module 's' { export default t; } declare const u: any;
export declare function v(this: Window, w: string): w is 'x'; export function v(w: unknown): boolean; enum X { A = 1, 'B' }
const enum Y { C } export abstract class Z<T> extends H.I<T> implements J, K { private static readonly a?: number = 1;
  declare b: string; protected abstract c(): void; constructor(public d: string, private readonly e = 2) { super(); }
  override f<U>(this: this, @g() h?: U): asserts this is Z<U> {} [key: string]: any; accessor i!: number; }
let a = b as const, c = <D>(e: D): e is D => !f!.g, h = i satisfies J<K>, l = m<N>(o), p = async <T,>(q: T): Promise<T> => q;
function r(s: string): asserts s; function r(s?: number | (() => void), { t }: { t: U } = v!): void {} for (const w of <X>y) {}
@z({ a: 1 }) export default class {} export = b; export as namespace d; export import d = e.f; let g: h.i<j>['k'][], n: void;`;
const request = (filename, content) => ({ content, encoding: 'utf8', language: 'javascript', filename });
const own = readdirSync(library).map((name) => readFileSync(path.join(library, name), 'utf8'));

export const requests = [
  ...own.map((content) => request('a.js', content)),
  request('a.mjs', module),
  request('a.js', commonjs),
  request('a.ts', typescript),
];
