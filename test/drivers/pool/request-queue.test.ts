import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestQueue, type Priority, type Queued } from '../../../src/drivers/pool/request-queue.ts';

interface Item extends Queued {
  readonly name: string;
}

class Source {
  backedUp = false;
  readonly name: string;
  #made = 0;
  constructor(name: string) {
    this.name = name;
  }
  item(priority: Priority = 'interactive'): Item {
    this.#made += 1;
    return { client: this, priority, name: `${this.name}${this.#made}` };
  }
}

/** Takes everything out, in its order. */
function drained(queue: RequestQueue<Item>): string[] {
  const names: string[] = [];
  for (let item = queue.next(); item !== undefined; item = queue.next()) names.push(item.name);
  return names;
}

describe('the queue of requests', () => {
  it('lets clients take turns, each in its own order', () => {
    const queue = new RequestQueue<Item>(100);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Source(name)) as [Source, Source, Source];
    for (const source of [a, a, a, a, b, b, c]) queue.add(source.item());
    expect(drained(queue)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4']);
  });

  it('puts interactive requests before those of batches, which still get every ninth turn', () => {
    const queue = new RequestQueue<Item>(100);
    const [batch, user] = [new Source('batch'), new Source('user')];
    for (let count = 0; count < 3; count += 1) queue.add(batch.item('batch'));
    for (let count = 0; count < 20; count += 1) queue.add(user.item());
    const order = drained(queue);
    expect(order.indexOf('batch1')).toBe(8);
    expect(order.indexOf('batch2')).toBe(17);
    expect(order.indexOf('batch3')).toBe(22);
  });

  it('passes over a client that does not read, until it does', () => {
    const queue = new RequestQueue<Item>(100);
    const [slow, quick] = [new Source('slow'), new Source('quick')];
    queue.add(slow.item());
    queue.add(quick.item());
    slow.backedUp = true;
    expect(drained(queue)).toEqual(['quick1']);
    slow.backedUp = false;
    expect(drained(queue)).toEqual(['slow1']);
  });

  it('refuses the one that fills it, not the others', () => {
    const queue = new RequestQueue<Item>(4);
    const [greedy, modest] = [new Source('greedy'), new Source('modest')];
    for (let count = 0; count < 4; count += 1) expect(queue.add(greedy.item())).toBeUndefined();
    expect(queue.add(greedy.item())?.name).toBe('greedy5');
    expect(queue.add(modest.item())?.name).toBe('greedy4');
    expect(queue.add(modest.item())?.name).toBe('greedy3');
    // Now they are even: who comes next is refused.
    expect(queue.add(modest.item())?.name).toBe('modest3');
    expect(queue.size).toBe(4);
  });

  it('loses nothing, doubles nothing, and starves nobody, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), source: fc.nat(3), batch: fc.boolean() }),
      fc.record({ do: fc.constant('next' as const) }),
      fc.record({ do: fc.constant('delete' as const), nth: fc.nat(20) }),
      fc.record({ do: fc.constant('clog' as const), source: fc.nat(3) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new RequestQueue<Item>(10);
        const sources = ['a', 'b', 'c', 'd'].map((name) => new Source(name));
        const inside = new Set<Item>();
        for (const each of steps) {
          if (each.do === 'add') {
            const item = (sources[each.source] as Source).item(each.batch ? 'batch' : 'interactive'); // nat(3) < 4
            inside.add(item);
            const evicted = queue.add(item);
            if (evicted !== undefined) expect(inside.delete(evicted)).toBe(true);
          } else if (each.do === 'next') {
            const item = queue.next();
            if (item !== undefined) {
              expect(item.client.backedUp).toBe(false);
              expect(inside.delete(item)).toBe(true);
            } else expect([...inside].every(({ client: source }) => source.backedUp)).toBe(true);
          } else if (each.do === 'delete') {
            const item = [...inside][each.nth];
            if (item !== undefined) {
              expect(queue.delete(item)).toBe(true);
              expect(queue.delete(item)).toBe(false);
              inside.delete(item);
            }
          } else {
            const source = sources[each.source] as Source; // nat(3) < 4
            source.backedUp = !source.backedUp;
          }
          expect(queue.size).toBe(inside.size);
          expect(new Set(queue)).toEqual(inside);
          expect(queue.size).toBeLessThanOrEqual(10);
        }
        for (const source of sources) source.backedUp = false;
        expect(drained(queue)).toHaveLength(inside.size);
      }),
    );
  });
});
