/*
 * Nothing of its own: to import it makes Node.js load its loader of ES modules.
 */
export {};
