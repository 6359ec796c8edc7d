// A page that asks and listens the way the SYMMIO front-end SDK does, with react-use-websocket itself. Commands come as
// JSON lines on stdin; what the page was told and what it shows goes out as JSON lines on stdout.
import http from "node:http";
import { createRequire } from "node:module";
import readline from "node:readline";

import { Window } from "happy-dom";
import WebSocketOfNode from "ws";

const ORIGIN = "http://app.example";
const APP_NAME = "Cloverfield";
const SIMPLE_HEADERS = ["accept", "accept-language", "content-language"];
const NOTHING = { upnl: 0, timestamp: 0, available_balance: 0 };

// Whatever a host is called, it is here: hosts tell deployments apart.
function toLoopback(_host, options, done) {
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
}

class BrowserWebSocket extends WebSocketOfNode {
  constructor(url, protocols) {
    super(url, protocols ?? [], { lookup: toLoopback, origin: ORIGIN, perMessageDeflate: true });
  }
}

const window = new Window({ url: `${ORIGIN}/` });
Object.assign(globalThis, { window, document: window.document, WebSocket: BrowserWebSocket });
process.env.NODE_ENV = "production";
console.warn = (text) => say({ saw: "warning", text });

const require = createRequire(import.meta.url);
const { createElement, useEffect, useMemo, useState } = require("react");
const { createRoot } = require("react-dom/client");
const { default: useWebSocket, ReadyState } = require("react-use-websocket");

function say(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function send(url, method, headers, body) {
  return new Promise((resolve, reject) => {
    const all = { Origin: ORIGIN, ...Object.fromEntries(headers) };
    const request = http.request(url, { method, headers: all, lookup: toLoopback }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

function listed(header) {
  return (header ?? "").split(",").map((one) => one.trim().toLowerCase());
}

// As far as a browser lets a page of another origin go: a preflight where it makes one, and no answer without leave.
async function fetchAsBrowser(url, { method = "GET", headers = [], body } = {}) {
  const asked = headers.map(([name]) => name.toLowerCase()).filter((name) => !SIMPLE_HEADERS.includes(name));
  if (asked.length > 0) {
    const preflight = await send(url, "OPTIONS", [
      ["Access-Control-Request-Method", method],
      ["Access-Control-Request-Headers", asked.sort().join(",")],
    ]);
    const allowed = preflight.headers;
    const isFine =
      preflight.status >= 200 &&
      preflight.status < 300 &&
      listed(allowed["access-control-allow-origin"]).some((one) => one === "*" || one === ORIGIN) &&
      (["GET", "POST"].includes(method) || listed(allowed["access-control-allow-methods"]).includes(method.toLowerCase())) &&
      asked.every((name) => listed(allowed["access-control-allow-headers"]).includes(name));
    if (!isFine) {
      throw new TypeError(`no leave for ${method} ${url}: ${preflight.status} ${JSON.stringify(allowed)}`);
    }
  }
  const answer = await send(url, method, headers, body);
  if (!listed(answer.headers["access-control-allow-origin"]).some((one) => one === "*" || one === ORIGIN)) {
    throw new TypeError(`no leave to read ${url}`);
  }
  return answer;
}

// What is not 2xx or no JSON is null to the SDK.
async function ask(base, path, body) {
  const { href } = new URL(path, base);
  const headers = path.startsWith("/get_balance_info") ? [] : [["App-Name", APP_NAME]];
  const options = { headers };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    headers.push(["Content-Type", "application/json"]);
  }
  let value = null;
  let status = null;
  let fault = null;
  try {
    const answer = await fetchAsBrowser(href, options);
    status = answer.status;
    value = status >= 200 && status < 300 ? JSON.parse(answer.text) : null;
  } catch (error) {
    fault = String(error);
  }
  say({ saw: "answer", path, href, status, value, fault });
  return value;
}

function useVisible() {
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const look = () => setVisible(document.visibilityState !== "hidden");
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  useEffect(() => say({ saw: "tab", visible }), [visible]);
  return visible;
}

function useSocket(name, url, options) {
  const socket = useWebSocket(url, {
    shouldReconnect: () => true,
    onClose: ({ code }) => say({ saw: "closed", name, code }),
    onError: () => say({ saw: "failed", name }),
    onMessage: ({ data }) => say({ saw: "frame", name, data }),
    ...options,
  });
  const { readyState } = socket;
  useEffect(() => say({ saw: "socket", name, state: ReadyState[readyState] }), [name, readyState]);
  return socket;
}

function useUpnl(url, account, visible) {
  const { readyState, sendMessage, lastJsonMessage } = useSocket("upnl", url, { reconnectAttempts: 2 });
  useEffect(() => {
    if (readyState === ReadyState.OPEN && account) {
      sendMessage(account);
    }
  }, [readyState, account, sendMessage, visible]);
  useEffect(() => {
    const isNothing = !lastJsonMessage || Object.keys(lastJsonMessage).length === 0;
    say({ saw: "upnl", account, shown: isNothing ? NOTHING : lastJsonMessage });
    // A switch of the account alone shows nothing else until the next frame.
  }, [lastJsonMessage, visible]);
}

function useNews(url, account) {
  const { sendJsonMessage, lastJsonMessage } = useSocket("news", url, { reconnectAttempts: 10 });
  useEffect(() => {
    if (account) {
      sendJsonMessage({ address: [account] });
    }
  }, [account, sendJsonMessage]);
  useEffect(() => {
    if (lastJsonMessage && Object.keys(lastJsonMessage).length > 0) {
      say({ saw: "notification", shown: notification(lastJsonMessage) });
    }
  }, [lastJsonMessage]);
}

// Many accounts on one socket, their whole list sent again on every change and reconnect, as the trading SDK does.
function useMany(url, accounts) {
  const { readyState, sendJsonMessage, lastJsonMessage } = useSocket("many", url, {
    reconnectAttempts: 1000,
    reconnectInterval: (attempt) => Math.min(10_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2),
  });
  const list = useMemo(() => accounts ?? [], [JSON.stringify(accounts)]);
  useEffect(() => {
    if (readyState === ReadyState.OPEN) {
      sendJsonMessage({ address: list });
    }
  }, [readyState, list, sendJsonMessage]);
  useEffect(() => {
    if (lastJsonMessage) {
      say({ saw: "one of many", shown: notification(lastJsonMessage) });
    }
  }, [lastJsonMessage]);
}

function notification(data) {
  return {
    id: data.id,
    quoteId: `${data.quote_id}`,
    counterpartyAddress: data.counterparty_address,
    createTime: data.create_time.toString(),
    modifyTime: data.modify_time.toString(),
    version: data.version?.toString(),
    orderType: Number(data.order_type?.toString()) === 1 ? "MARKET" : "LIMIT",
    kind: data.state_type === "report" ? "PARTIAL_FILL" : { failed: "ERROR", seen: "SEEN", success: "SUCCESS" }[data.action_status],
  };
}

function useFunding(url, market, visible) {
  const { readyState, sendJsonMessage, lastJsonMessage } = useSocket("funding", url, { reconnectAttempts: 10 });
  const isOpen = readyState === ReadyState.OPEN;
  useEffect(() => {
    if (isOpen) {
      sendJsonMessage({ symbols: visible ? [market] : [] });
    }
  }, [isOpen, market, sendJsonMessage, visible]);
  useEffect(() => {
    const [first] = Object.values(lastJsonMessage ?? {});
    if (visible && first) {
      say({ saw: "funding", market, shown: first });
    }
  }, [lastJsonMessage, isOpen, visible]);
}

function useWhitelist({ base, wallet, account, multiAccount }) {
  const [isListed, setListed] = useState(null);
  useEffect(() => {
    ask(base, `/check_in-whitelist/${wallet}/${multiAccount}`).then(setListed);
  }, [base, wallet, multiAccount]);
  useEffect(() => {
    if (isListed && account) {
      ask(base, `/check_in-whitelist/${account}/${multiAccount}`).then(
        (isServed) => isServed === false && ask(base, `/add-sub-address-in-whitelist/${account}/${multiAccount}`),
      );
    }
  }, [isListed, base, account, multiAccount]);
  return isListed;
}

function Page(page) {
  const visible = useVisible();
  const isListed = useWhitelist(page);
  const socketOf = (name) => `${page.sockets}${name}`;
  useUpnl(isListed ? socketOf("upnl-ws") : null, page.account, visible);
  useNews(isListed ? socketOf("position-state-ws3") : null, page.account);
  useMany(page.accounts ? socketOf("position-state-ws3") : null, page.accounts);
  useFunding(page.market ? socketOf("funding-rate-ws") : null, page.market, visible);
  useEffect(() => {
    if (isListed) {
      ask(page.base, "position-state/0/10", { address: page.account, modify_time_gte: 1, quote_id: undefined });
      ask(page.base, `/get_balance_info/${page.wallet}/${page.multiAccount}`);
    }
  }, [isListed, page.base, page.account, page.wallet, page.multiAccount]);
  return null;
}

let shown = {};
const root = createRoot(document.body.appendChild(document.createElement("div")));
const commands = {
  // Shows a page of other properties, those not named stay.
  show(properties) {
    shown = { ...shown, ...properties };
    root.render(createElement(Page, shown));
  },
  hide({ hidden }) {
    Object.defineProperty(document, "visibilityState", { value: hidden ? "hidden" : "visible", configurable: true });
    document.dispatchEvent(new window.Event("visibilitychange"));
  },
  ask({ base, path, body }) {
    ask(base ?? shown.base, path, body);
  },
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  commands[command](rest);
}
process.exit(0);
