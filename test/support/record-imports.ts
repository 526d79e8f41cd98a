/** Preloaded into a gateway (`NODE_OPTIONS=--import`): writes down every module it loads, with the moment. */
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

const path = process.env['RECORD_IMPORTS_TO'];
if (path !== undefined) {
  registerHooks({
    load(url, context, next) {
      appendFileSync(path, `${Date.now()} ${url}\n`);
      return next(url, context);
    },
  });
}
