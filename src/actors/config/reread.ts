/**
 * Reads the configuration again between two generations. An invalid file changes nothing: the last applied one stays in
 * force and the log says so. Addresses, port and secrets keep their old value until the process starts anew.
 *   reports  config.read
 */
import { fromIo } from '../io.ts';
import type { Gateway } from '../tree.ts';
import { loadConfig } from './load.ts';

/** @param settled resolves when no client's change of the file is under way, so that none of them is missed. */
export const rereadConfig = (gateway: Gateway, settled: () => Promise<void>) =>
  fromIo<unknown>(({ run, report }) => {
    run(async () => {
      const log = gateway.log.child('config');
      try {
        await settled();
        const loaded = await loadConfig(gateway.options.env, gateway.options.profile);
        if (loaded.valid) {
          gateway.applied = loaded.config;
          gateway.options.configHash = loaded.hash;
          gateway.options.configIssues = loaded.issues;
        } else
          log.warn(
            { issues: loaded.issues.map(({ path, message }) => `${path}: ${message}`) },
            'the configuration is invalid: the last valid one stays in force',
          );
      } catch (error) {
        log.warn({ code: (error as NodeJS.ErrnoException).code }, 'the configuration cannot be read: the last one stays in force');
      }
      report({ type: 'config.read' });
    });
  });
