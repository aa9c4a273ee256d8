// The container methods: containers for any command, changed through handles. Nothing changes before a commit.
import { z } from 'zod';
import { method, name } from './method.ts';

const id = () => z.string().max(100);
const container = () => id().describe('The container’s id: a ULID.');
const handle = () => id().describe('A handle, from `container/create` or `container/handle`.');
const text = () => z.string().max(131_071);
const status = () => z.enum(['created', 'running', 'stopped']);

const entryPoint = () => ({
  args: z.array(text()).min(1).max(4096).describe('The command and its arguments.'),
  env: z.record(text(), text()).describe('The environment.'),
  cwd: z.string().max(4095).describe('The working directory: an absolute path in the container.'),
  user: z
    .string()
    .max(1024)
    .describe('`user`, `uid`, `user:group`, `uid:gid` …, as the image knows them; empty for root.'),
});

const someEntryPoint = () => z.object(entryPoint()).partial().shape;

const limit = (what: string) => z.number().min(-1).optional().describe(`${what}; -1 for the default.`);

/** As src/container has them. */
const limitChanges = () => ({
  memoryBytes: limit('Memory with page cache and /tmp, in bytes'),
  cpus: limit('Processor time for each second, in seconds'),
  processes: limit('Processes and threads'),
  openFiles: limit('Open files of each process'),
  fileSizeBytes: limit('The size of a file, in bytes'),
  temporaryBytes: limit('The size of /tmp and of /dev/shm, in bytes each'),
  runTimeMs: limit('How long it may run after a start, in milliseconds; 0 for as long as it likes'),
  layerBytes: limit('What its writable layer may hold, in bytes'),
  layerFiles: limit('Files and folders that its writable layer may hold'),
});

const handleInfo = () =>
  z.object({
    handle: z.string(),
    id: z.string().describe('The container’s id.'),
    generation: z.int().describe('The commit that the handle was taken after; 0 before the first.'),
  });

const committed = () =>
  z.object({
    id: z.string(),
    generation: z.int(),
    status: status(),
    notes: z.array(z.string()).describe('What was recorded and has no effect, or not yet.'),
  });

const processState = () =>
  z.object({
    id: z.string().describe('The main process has the container’s id.'),
    main: z.boolean(),
    args: z.array(z.string()),
    status: z.enum(['running', 'exited']),
    pid: z.int().describe('The host’s process id of the process of babelhost’s that it runs under.'),
    exitCode: z.int().optional(),
    signal: z.int().optional().describe('The signal that ended it.'),
    message: z.string().optional().describe('How it ended.'),
    startedAt: z.string(),
    finishedAt: z.string().optional(),
  });

const recorded = () => z.object({ notes: z.array(z.string()) });
const encoding = () => z.enum(['utf8', 'base64']).default('utf8').describe('How `content` is encoded.');
const handleErrors = ['notFound', 'containerFailed'] as const;

export const containerMethods = {
  'container/create': method({
    summary: 'A handle whose commit creates a container of an image of the store.',
    params: () =>
      z.strictObject({
        image: name().describe('A name, a digest, or the start of a digest that is no other’s.'),
        ...someEntryPoint(),
        hostname: z.string().max(64).optional(),
        writable: z
          .boolean()
          .optional()
          .describe('Keep what it writes to its root, in a layer of its own; otherwise its root is read-only.'),
        limits: z.strictObject(limitChanges()).optional(),
      }),
    result: handleInfo,
    errors: ['imageNotFound', 'containerFailed', 'overloaded'],
  }),
  'container/handle': method({
    summary: 'A handle on a container, to record changes in.',
    description: 'It expires when it is not used for ten minutes; a commit fails if another came in between.',
    params: () => z.strictObject({ id: container() }),
    result: handleInfo,
    errors: ['notFound', 'overloaded'],
  }),
  'container/setEntryPoint': method({
    summary: 'Records what the container is to execute from its next start on.',
    params: () => z.strictObject({ handle: handle(), ...someEntryPoint() }),
    result: recorded,
    errors: handleErrors,
  }),
  'container/setLimits': method({
    summary: 'Records limits. They are passed over, with a note, if the container goes on running.',
    params: () => z.strictObject({ handle: handle(), ...limitChanges() }),
    result: recorded,
    errors: handleErrors,
  }),
  'container/setRunState': method({
    summary: 'Records whether the container is to run. `created` is no state that a container can be put into.',
    params: () => z.strictObject({ handle: handle(), runState: z.enum(['running', 'stopped']) }),
    result: recorded,
    errors: ['notFound'],
  }),
  'container/copyTo': method({
    summary: 'Records files to copy into the container: at the commit if it runs, else at its next start.',
    description:
      'They are written with the rights of the container’s user, all or none, into folders that must be there.',
    params: () =>
      z.strictObject({
        handle: handle(),
        files: z
          .array(
            z.strictObject({
              path: z.string().max(4095).describe('An absolute path in the container.'),
              content: z.string(),
              encoding: encoding(),
              mode: z.int().min(0).max(0o777).default(0o644),
            }),
          )
          .min(1)
          .max(1024),
      }),
    result: recorded,
    errors: [...handleErrors, 'contentTooLarge'],
  }),
  'container/commit': method({
    summary: 'Does all that was recorded in a handle, or nothing, and answers when it is done.',
    params: () => z.strictObject({ handle: handle() }),
    result: committed,
    errors: ['conflict', 'notFound', 'containerFailed', 'imageNotFound', 'timeout', 'storageFull', 'contentTooLarge'],
  }),
  'container/destroy': method({
    summary: 'Removes a stopped container with all that it has written.',
    params: () => z.strictObject({ id: container() }),
    result: () => z.object({ destroyed: z.string() }),
    errors: ['notFound', 'conflict'],
  }),
  'container/list': method({
    summary: 'The containers, all or those of a status.',
    params: () => z.strictObject({ status: status().optional() }),
    result: () =>
      z.object({
        containers: z.array(
          z.object({
            id: z.string(),
            image: z.string().describe('The digest of the image manifest.'),
            status: status(),
            createdAt: z.string(),
            args: z.array(z.string()),
          }),
        ),
      }),
    errors: ['storageDirty'],
  }),
  'container/config': method({
    summary: 'What a container is defined by.',
    params: () => z.strictObject({ id: container() }),
    result: () =>
      z.object({
        id: z.string(),
        generation: z.int().describe('How many commits there were.'),
        image: z.string(),
        createdAt: z.string(),
        hostname: z.string(),
        writable: z.boolean(),
        entryPoint: z.object(entryPoint()),
        limits: z.record(z.string(), z.number()).describe('Those in force at its next start, defaults included.'),
        pending: z
          .array(z.object({ path: z.string(), mode: z.int(), sizeBytes: z.int() }))
          .describe('Files that are copied into it at its next start.'),
      }),
    errors: ['notFound'],
  }),
  'container/state': method({
    summary: 'Whether a container runs, and its processes: the main one and those of `container/exec`.',
    params: () => z.strictObject({ id: container() }),
    result: () => z.object({ id: z.string(), status: status(), processes: z.array(processState()) }),
    errors: ['notFound'],
  }),
  'container/copyFrom': method({
    summary: 'The content of a file of a running container, read with the rights of its own user.',
    params: () => z.strictObject({ id: container(), path: z.string().max(4095) }),
    result: () =>
      z.object({
        path: z.string(),
        mode: z.int(),
        sizeBytes: z.int(),
        content: z.string().describe('In base64.'),
      }),
    errors: ['notFound', 'conflict', 'contentTooLarge', 'timeout', 'containerFailed'],
  }),
  'container/exec': method({
    summary: 'Starts a further process in a running container; what is not given is as in its entry point.',
    params: () =>
      z.strictObject({
        id: container(),
        ...someEntryPoint(),
        args: entryPoint().args,
        input: z.string().optional().describe('What it reads from its stdin.'),
        wait: z.boolean().optional().describe('Answer when it has ended, with what it wrote.'),
      }),
    result: () =>
      z.object({
        process: processState(),
        stdout: z.string().optional().describe('The last that it wrote; only with `wait`.'),
        stderr: z.string().optional(),
        droppedBytes: z.int().optional().describe('How much it wrote before that, which was not kept.'),
      }),
    errors: ['notFound', 'conflict', 'overloaded', 'containerFailed', 'timeout'],
  }),
  'container/signal': method({
    summary: 'Sends a signal to a process and its group: by its id, or by its container’s for the main one.',
    params: () =>
      z.strictObject({
        id: id().describe('The id of a process or of a container.'),
        signal: z
          .union([z.int().min(1).max(64), z.string().max(20)])
          .describe('A number, or a name such as `SIGTERM`.'),
      }),
    result: () => z.object({ signal: z.int() }),
    errors: ['notFound', 'conflict', 'containerFailed'],
  }),
  'container/logs': method({
    summary: 'What a process wrote last to its stdout and stderr: by its id, or by its container’s for the main one.',
    params: () => z.strictObject({ id: id().describe('The id of a process or of a container.') }),
    result: () =>
      z.object({
        chunks: z.array(z.object({ stream: z.enum(['stdout', 'stderr']), text: z.string() })),
        droppedBytes: z.int().describe('How much it wrote before that, which was not kept.'),
      }),
    errors: ['notFound', 'conflict'],
  }),
};
