/** A small calculator: + - * / % ^ and parentheses. Text is parsed, never evaluated. */

/** @returns the result, or `undefined` when the text is no calculation. */
export function calculate(text: string): number | undefined {
  const tokens = text.match(/\d+(?:\.\d+)?|[-+*/%^()]/g) ?? [];
  if (tokens.length < 3 || tokens.length > 200 || tokens.join('') !== text.replace(/\s+/g, '')) return undefined;
  let at = 0;
  const peek = () => tokens[at];

  function sum(): number {
    let value = product();
    while (peek() === '+' || peek() === '-') value = tokens[at++] === '+' ? value + product() : value - product();
    return value;
  }
  function product(): number {
    let value = power();
    while (peek() === '*' || peek() === '/' || peek() === '%') {
      const operator = tokens[at++];
      const right = power();
      value = operator === '*' ? value * right : operator === '/' ? value / right : value % right;
    }
    return value;
  }
  function power(): number {
    const base = unary();
    if (peek() !== '^') return base;
    at += 1;
    return base ** power();
  }
  function unary(): number {
    if (peek() === '-') {
      at += 1;
      return -unary();
    }
    return atom();
  }
  function atom(): number {
    const token = tokens[at++];
    if (token === '(') {
      const value = sum();
      return tokens[at++] === ')' ? value : Number.NaN;
    }
    return token === undefined ? Number.NaN : Number(token);
  }

  const result = sum();
  if (at !== tokens.length || !Number.isFinite(result)) return undefined;
  return Math.round(result * 1e10) / 1e10;
}
