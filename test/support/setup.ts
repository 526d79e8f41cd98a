import { afterEach, expect } from 'vitest';
import { violations } from './raw-client.ts';

// Whatever a test is about, every frame it caught has to fit its definition.
afterEach(() => {
  expect(violations.splice(0)).toEqual([]);
});
