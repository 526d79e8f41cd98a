/** Keys of outbox rows that more than one part has to recognise. */

/** The row that offers to send another one again. */
export const askKey = (key: string) => `${key}:ask`;

export const isAskKey = (key: string) => key.endsWith(':ask');
