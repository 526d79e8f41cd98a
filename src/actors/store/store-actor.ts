/**
 * The store as an actor: owns the worker thread and gives out the port to it.
 *   takes     gateway.drain: what was sent is finished, the file is closed
 *   reports   child.up · child.stopped; fails when the file cannot be opened or the thread dies
 */
import { FatalError } from '../../protocol/errors.ts';
import { fromIo } from '../io.ts';
import { StoreError, type StorePort, type VerbName } from './contract.ts';
import { startThread, type WarmThread } from './thread.ts';
import type { VerbCall, WorkerReport, WorkerRequest } from './worker.ts';

/** More than this means that the disk does not keep up; remembering more would only end in no memory. */
const maxPending = 10_000;

export const storeActor = (options: { register(port: StorePort): () => void; warm?: WarmThread }) =>
  fromIo<{ stateDir: string }>(({ input, guard, report, receive }) => {
    const worker = options.warm?.take() ?? startThread();
    const pending = new Map<number, { resolve(result: unknown): void; reject(error: StoreError): void }>();
    let batch: VerbCall[] = [];
    let nextId = 1;
    let isClosed = false;
    let hasClosed = false;
    let release: (() => void) | undefined;

    const post = (request: WorkerRequest) => worker.postMessage(request);

    function flush() {
      const calls = batch;
      batch = [];
      if (calls.length > 0 && !isClosed) post({ type: 'calls', calls });
    }

    const port = {
      get pending() {
        return pending.size;
      },
      call(verb: VerbName, params: unknown, fence?: { owner: string; epoch: number }) {
        if (isClosed) return Promise.reject(new StoreError('closed', 'the store is closed'));
        if (pending.size >= maxPending) return Promise.reject(new StoreError('overloaded', 'the store has too much to do'));
        return new Promise((resolve, reject) => {
          const id = nextId++;
          pending.set(id, { resolve, reject });
          // One message per turn, however many verbs it holds.
          if (batch.length === 0) queueMicrotask(flush);
          batch.push({ id, verb, params, ...(fence === undefined ? {} : { fence }) });
        });
      },
    } as StorePort;

    function close(error: StoreError) {
      isClosed = true;
      release?.();
      release = undefined;
      for (const { reject } of pending.values()) reject(error);
      pending.clear();
    }

    const onReport = guard((message: WorkerReport) => {
      if (message.type === 'opened') {
        release = options.register(port);
        report({ type: 'child.up' });
      } else if (message.type === 'failed') {
        throw new FatalError(
          'store-unavailable',
          `the store cannot be opened: ${message.message}`,
          'check that the state directory is writable, has space, and was not written by a newer release',
        );
      } else if (message.type === 'closed') {
        hasClosed = true;
        report({ type: 'child.stopped' });
      } else {
        for (const { id, result, error } of message.answers) {
          const waiter = pending.get(id);
          pending.delete(id);
          if (error) waiter?.reject(new StoreError(error.code, error.message));
          else waiter?.resolve(result);
        }
      }
    });

    worker.on('message', onReport);
    worker.on(
      'error',
      guard((error: Error) => Promise.reject(error)),
    );
    worker.on(
      'exit',
      guard(() => {
        if (!isClosed) throw new Error('the store thread ended');
      }),
    );
    receive((event) => {
      if (event.type !== 'gateway.drain') return;
      flush();
      release?.();
      release = undefined;
      post({ type: 'close' });
    });
    post({ type: 'open', stateDir: input.stateDir });

    return () => {
      close(new StoreError('closed', 'the store was stopped'));
      if (hasClosed && options.warm) options.warm.give(worker);
      else void worker.terminate();
    };
  });
