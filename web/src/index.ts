// The library: what a page of somebody else's uses.

export { Avatar, type Render } from "./avatar/avatar.ts";
export { loadModel, type Model } from "./avatar/model.ts";
export { Renderer, type Pose } from "./avatar/renderer.ts";
export { avatars, createSession, type Created } from "./client/api.ts";
export { connect, Session, type Options, type SessionEvents } from "./client/session.ts";
export type { Joined, Listener, Transport } from "./client/transport.ts";
export { transportOf } from "./client/choice.ts";
export { WebSocketTransport } from "./client/websocket.ts";
