/**
 * Whether a service manager starts this process again when it ends. Its variables are inherited by everything below a
 * service, a terminal included, so a variable alone is not believed where the process can be told apart.
 */
export function hasServiceManager(env: Record<string, string | undefined>, pid: number): boolean {
  const isMarked = env['OPENCLAW_SERVICE_MARKER'] === 'openclaw';
  // launchd names every program so that it starts, terminals too; ours are labelled.
  const isLaunchd = env['XPC_SERVICE_NAME']?.startsWith('bot.molt.') === true;
  const exec = env['SYSTEMD_EXEC_PID'];
  const isSystemd = Boolean(env['INVOCATION_ID']) && (exec === undefined || exec === String(pid));
  return isMarked || isLaunchd || isSystemd;
}
