// People, each with a browser of their own that knows nothing of the others'.
//
// A browser's cookies do not look at ports, and all nodes are on 127.0.0.1: so whoever logs in on one
// node is known to all, as people are who reach the nodes by one name. That is what moving means here.

import assert from "node:assert/strict";

import { eventually } from "./wait.mjs";

/** Milliseconds for a page to come; a node without a leader takes a while to say so. */
const PAGE_MS = 30_000;
/** Milliseconds for something to be on a page that has come: it is there, or it is not. */
const THERE_MS = 10_000;
/** Answers which say that it may be tried again: no leader yet, or none who could say what came of it. */
const AGAIN = [503, 504];

/** How many people there were: each has an address of their own, over all scenarios. */
let addresses = 0;

/** Makes people, and knows what went wrong in their browsers. */
export class People {
  constructor(browser, cluster) {
    this.browser = browser;
    this.cluster = cluster;
    this.all = [];
  }

  /**
   * Somebody new. Scripts are off unless asked for: all that people do here works without.
   * Each comes from an address of their own, as a proxy on the node's machine would say.
   */
  async person(name, options = {}) {
    addresses += 1;
    const context = await this.browser.newContext({
      javaScriptEnabled: false,
      viewport: { width: 1100, height: 800 },
      extraHTTPHeaders: { "X-Forwarded-For": `10.0.${addresses >> 8}.${addresses & 255}` },
      ...options,
    });
    context.setDefaultNavigationTimeout(PAGE_MS);
    context.setDefaultTimeout(THERE_MS);
    const person = new Person(name, context, await context.newPage(), this.cluster);
    this.all.push(person);
    return person;
  }

  /** The same user at another machine: nothing but the name and the password is the same. */
  async again(person, options = {}) {
    const other = await this.person(person.name, options);
    other.password = person.password;
    return other;
  }

  /** Closes all browsers. What was wrong in any of them is an error. */
  async leave() {
    const wrong = this.all.flatMap((person) => person.wrong);
    await Promise.all(this.all.map((person) => person.context.close()));
    this.all = [];
    assert.equal(wrong.length, 0, `the browsers complain:\n  ${wrong.join("\n  ")}`);
  }
}

export class Person {
  constructor(name, context, page, cluster) {
    this.name = name;
    this.password = `the password of ${name}`;
    this.context = context;
    this.page = page;
    this.node = cluster.nodes[0];
    /** The answer that brought the page. */
    this.answer = null;
    /** What was noticed that never should be. */
    this.wrong = [];
    this.#watch(cluster.nodes);
  }

  #watch(nodes) {
    const { page, context } = this;
    const note = (what) => this.wrong.push(`${this.name} at ${page.url()}: ${what}`);
    context.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      // The icon of a page that they have left already may be asked for late: so any node will do.
      const isOurs = nodes.some((node) => node.url("") === origin) || protocol === "chrome-error:";
      if (!isOurs) note(`a request to ${request.url()}`);
    });
    context.on("response", (answer) => {
      const { url, status } = { url: answer.url(), status: answer.status() };
      const isPage = answer.request().isNavigationRequest();
      if (!isPage && status >= 400) note(`${url} is answered ${status}`);
      if (isPage && status >= 500 && !AGAIN.includes(status)) note(`${url} is answered ${status}`);
    });
    page.on("console", (message) => {
      // That a page is answered with an error is said here too, and is no error of the page.
      const isAnswer = /^Failed to load resource: the server responded/.test(message.text());
      // A late icon (see above) is held against the policy of the page that is there by then.
      const image = /^Loading the image '([^']+)' violates/.exec(message.text())?.[1];
      const isLateIcon = nodes.some((node) => image?.startsWith(node.url("/b/icon.svg")));
      const bad = ["error", "warning"].includes(message.type());
      if (bad && !isAnswer && !isLateIcon) note(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => note(error.message));
    page.on("dialog", (dialog) => {
      note(`a dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
  }

  // ---- Going about.

  /** Opens a path of a node, by default where they are already. */
  async goTo(node, path = this.path) {
    this.node = node;
    this.answer = await this.page.goto(node.url(path));
    return this.answer;
  }

  async open(path) {
    return this.goTo(this.node, path);
  }

  /** Path and query of the page they look at. */
  get path() {
    const url = this.page.url();
    if (!url.startsWith("http:")) return "/b";
    const { pathname, search } = new URL(url);
    return pathname + search;
  }

  get status() {
    return this.answer.status();
  }

  /** The node said that it cannot right now; then it says when to come again, unless it may be done. */
  get isPutOff() {
    const isOff = AGAIN.includes(this.status);
    if (this.status === 503) assert.ok(Number(this.answer.headers()["retry-after"]) > 0);
    return isOff;
  }

  /** Does something that leads to another page, and waits until that is there. */
  async leads(doing) {
    const isPage = (answer) =>
      answer.request().isNavigationRequest() && Math.trunc(answer.status() / 100) !== 3;
    const [answer] = await Promise.all([
      this.page.waitForResponse(isPage, { timeout: PAGE_MS }),
      this.page.waitForEvent("load", { timeout: PAGE_MS }),
      doing(),
    ]);
    this.answer = answer;
    return answer;
  }

  /** Follows a link by what it says. */
  async follow(text, within = this.page) {
    return this.leads(() => within.getByRole("link", { name: text, exact: true }).first().click());
  }

  /** Presses a button by what it says. */
  async press(text, within = this.page) {
    return this.leads(() => this.button(text, within).click());
  }

  button(text, within = this.page) {
    return within.getByRole("button", { name: text, exact: true }).first();
  }

  /** Fills in fields by their names. */
  async fill(fields) {
    for (const [name, value] of Object.entries(fields)) {
      await this.page.locator(`#${name}`).fill(value);
    }
  }

  /**
   * Fills in and sends, and once more as long as a node says that it cannot right now. It must not have
   * forgotten what was typed; passwords it must have.
   */
  async send(fields, button) {
    await this.fill(fields);
    await this.press(button);
    await eventually(`${button} goes through`, async () => {
      if (!this.isPutOff) return true;
      for (const [name, value] of Object.entries(fields)) {
        const field = this.page.locator(`#${name}`);
        const isSecret = (await field.getAttribute("type")) === "password";
        assert.equal(await field.inputValue(), isSecret ? "" : value, `${name} after ${this.status}`);
        if (isSecret) await field.fill(value);
      }
      await this.press(button);
      return false;
    });
  }

  // ---- What people do.

  async signUp() {
    await this.open("/b/signup");
    await this.send({ name: this.name, password: this.password }, "Sign up");
    await this.expectUser();
  }

  async logIn() {
    await this.open("/b/login");
    await this.send({ name: this.name, password: this.password }, "Log in");
    await this.expectUser();
  }

  /** Posts a link; gives its key. */
  async post(title, url) {
    await this.open("/b/post");
    await this.send({ title, url }, "Post");
    assert.equal(this.status, 200, await this.text());
    const found = /^\/b\/p\/([\w-]+)/.exec(this.path);
    assert.ok(found, `after posting they are at ${this.path}:\n${await this.text()}`);
    return found[1];
  }

  /** Likes a post in the list they look at, or on its page; or takes that back. */
  async like(key, button = "Like") {
    const where = this.path;
    await this.press(button, await this.around(key));
    await eventually(`${button} goes through`, async () => {
      if (!this.isPutOff) return true;
      await this.open(where);
      const within = await this.around(key);
      // What was answered 504 may have been done.
      if ((await this.button(button, within).count()) === 0) return true;
      await this.press(button, within);
      return false;
    });
    assert.equal(this.status, 200, await this.text());
  }

  async comment(key, text) {
    await this.open(`/b/p/${key}`);
    await this.send({ text }, "Comment");
    assert.equal(this.status, 200, await this.text());
  }

  // ---- What people see.

  /** All of the page that can be read. */
  async text() {
    return this.page.locator("body").innerText();
  }

  async main() {
    return this.page.locator("main").innerText();
  }

  /** The entry of a post in a list, or the page of the post. */
  async around(key) {
    const entry = this.page.locator(`[id="p-${key}"]`);
    return (await entry.count()) > 0 ? entry : this.page.locator("main");
  }

  /** Keys of the posts in the list they look at, in its order. */
  async keys() {
    const ids = await this.page.locator("li.post").evaluateAll((all) => all.map((it) => it.id));
    return ids.map((id) => id.replace(/^p-/, ""));
  }

  /** The likes that a post shows, as a number. */
  async likes(key) {
    const text = await (await this.around(key)).locator(".likes").first().innerText();
    return Number.parseInt(text, 10);
  }

  async userShown() {
    const out = await this.button("Log out").count();
    const name = this.page.locator('header a[href="/b/settings"]');
    return out > 0 && (await name.count()) > 0 ? (await name.first().innerText()).trim() : null;
  }

  /** The page knows them. */
  async expectUser() {
    assert.equal(await this.userShown(), this.name, `${this.path}:\n${await this.text()}`);
  }

  async expectNobody() {
    assert.equal(await this.userShown(), null, `${this.path}:\n${await this.text()}`);
  }

  /** The page says this. */
  async expectText(text) {
    const all = await this.text();
    assert.ok(all.includes(text), `${this.path} does not say ${JSON.stringify(text)}:\n${all}`);
  }

  /**
   * Looks at a page of a node again and again until it is as expected: for what somebody else did, who
   * was told so earlier than this node was.
   */
  async sees(node, path, what, ask) {
    return eventually(`${this.name} sees on ${node.name}: ${what}`, async () => {
      await this.goTo(node, path);
      return ask();
    });
  }
}
