/*
 * Tests of the status page, in the browser. The page runs in a frame, with
 * another fetch() that answers what a test wants. Results go to the server as
 * requests for report?ok=0|1&what=..., the last one is report?done=1.
 */
'use strict';

const frame = document.querySelector('iframe');
const problems = []; // errors of the page and breaches of its policy
let version = 0;

const page = () => frame.contentDocument;
const all = (selector) => [...page().querySelectorAll(selector)];
const one = (selector) => page().querySelector(selector);
const text = (selector) => one(selector).textContent.trim();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function expect(what, condition) {
    if (!condition) {
        throw new Error(what);
    }
}

async function until(what, condition) {
    const end = performance.now() + 10000;
    while (!condition()) {
        expect('within 10 s: ' + what, performance.now() < end);
        await sleep(20);
    }
}

/* Opens the page anew in a frame of this width. */
async function open(width) {
    frame.style.width = width + 'px';
    frame.style.height = '900px';
    frame.src = 'about:blank';
    await sleep(50);
    frame.src = 'status.html';
    await new Promise((done) => frame.addEventListener('load', done,
        {once: true}));
    frame.contentWindow.addEventListener('error',
        (event) => problems.push(event.message));
    frame.contentWindow.addEventListener('unhandledrejection',
        (event) => problems.push(String(event.reason)));
    page().addEventListener('securitypolicyviolation',
        (event) => problems.push('policy: ' + event.violatedDirective));
    await until('the first figures', () => !one('#all').hidden);
}

/* Makes the page ask now. */
function askNow() {
    one('#pause').click();
    one('#pause').click();
}

/* Gives the page these figures and waits until it shows them. */
async function give(status) {
    status.version = 'v' + ++version;
    const body = JSON.stringify(status);
    frame.contentWindow.fetch = async () => new Response(body);
    askNow();
    await until('new figures', () => text('#version') === status.version);
}

async function fail(fetch) {
    frame.contentWindow.fetch = fetch;
    askNow();
    await until('lost contact is said', () => !one('#lost').hidden);
}

/* The service's element by its name. */
function serviceOf(name) {
    return all('.service').find((node) =>
        node.querySelector('.name bdi').textContent === name);
}

const namesShown = () =>
    all('.name bdi').map((node) => node.textContent).join(' ');
const rowsOf = (node) => [...node.querySelectorAll('tbody tr')];

function type(words) {
    one('#filter').value = words;
    one('#filter').dispatchEvent(new Event('input', {bubbles: true}));
}

/* What is too wide for this width. A part that may be skipped cuts off what is
 * too wide for it, so the parts are looked at as well. */
function tooWide(width) {
    const parts = all('.service, tr, #process > div, .curve, .share')
        .filter((node) => node.scrollWidth > node.clientWidth + 1)
        .map((node) => `${node.className || node.tagName} "` +
            `${node.textContent}" ${node.scrollWidth} > ${node.clientWidth}`);
    const whole = page().documentElement.scrollWidth;
    return whole > width ? [`the page ${whole}`, ...parts] : parts;
}

/* How long the page takes for new figures: the best of three, as other programs
 * run on the machine. */
async function timeToShow(figures) {
    let best = Infinity;

    for (let i = 0; i < 3; i++) {
        const status = figures();
        const begin = performance.now();
        await give(status);
        best = Math.min(best, performance.now() - begin);
    }
    return Math.round(best);
}

/* ---- tests ---- */

const tests = {
    async 'an answer that lacks nearly everything is shown'() {
        await open(1200);
        expect('verdict', text('#verdict') ===
            '0 services, 0 upstreams, all up');
    },

    async 'what is down comes first, with its cause and since when'() {
        await open(1600);
        await give(badDay());
        const [first, second] = all('.service');
        expect('first', first.textContent.includes('postgres'));
        expect('badge', first.querySelector('.badge').textContent ===
            'no upstream');
        expect('second', second.textContent.includes('api'));
        const row = rowsOf(first)[0];
        expect('state', row.cells[0].textContent === 'down');
        expect('address', row.cells[1].textContent === '10.0.3.31:5432');
        expect('cause', row.cells[2].textContent ===
            'connect_refused · 2 min');
        expect('verdict', text('#verdict').startsWith(
            '1 service without upstream3 upstreams down'));
        expect('title', page().title.startsWith('1 service without upstream'));
    },

    async 'what is near its limit stands out'() {
        await open(1600);
        await give(badDay());
        const api = serviceOf('api');
        expect('badge', api.querySelector('.badge.near').textContent ===
            'near limit');
        expect('bar', api.querySelector('.row .bar.near span').style.width ===
            '94%');
        expect('upstream', rowsOf(api)[1].querySelector('.bar.near') !== null);
        const near = badDay();
        near.stats.connections = 65536 * 0.8;
        near.stats.buffer_bytes = near.stats.buffer_limit_bytes * 0.9;
        near.stats.descriptors = near.stats.descriptors_limit * 0.99;
        near.stats.accept_paused += 3;
        near.stats.log_lost += 12;
        await give(near);
        const said = text('#notices');
        for (const words of ['80 % of 65,536', 'Buffers: 90 % of 256',
            'Descriptors: 99 % of 131,583', 'paused 3 times', 'lost 12 lines']) {
            expect(words, said.includes(words));
        }
    },

    async 'a good day is calm'() {
        await open(1600);
        await give(goodDay());
        expect('verdict', text('#verdict') ===
            '1 service, 2 upstreams, all up');
        expect('no notice', one('#notices').children.length === 0);
        expect('no badge', all('.badge').length === 0);
        expect('folded', all('tbody tr').length === 0);
    },

    async 'a curve has its last value, its unit and its maximum'() {
        await open(1600);
        const status = goodDay();
        status.services[0].history.bytes_up = [0, 2048, 3145728, 1536];
        await give(status);
        const [, toUpstreams] = serviceOf('web').querySelectorAll('.curve');
        const figure = toUpstreams.querySelector('.figure');
        expect('last', figure.children[0].textContent === '1.5\u00a0KiB/s');
        expect('most', figure.children[1].textContent === 'max 3\u00a0MiB/s');
        expect('drawn', toUpstreams.querySelector('.line').getAttribute('d')
            .startsWith('M116 24.0L117 '));
    },

    async 'a curve tells the value under the pointer'() {
        await open(1600);
        const status = goodDay();
        status.services[0].history.accepted = Array.from({length: 120},
            (_, i) => i);
        await give(status);
        const drawing = serviceOf('web').querySelector('.curve svg');
        const box = drawing.getBoundingClientRect();
        drawing.dispatchEvent(new PointerEvent('pointermove', {bubbles: true,
            clientX: box.left + box.width * 100 / 119, clientY: box.top + 5}));
        expect('value', text('#tip').endsWith('  100/s'));
        page().body.dispatchEvent(new PointerEvent('pointermove',
            {bubbles: true}));
        expect('gone', one('#tip').hidden);
    },

    async 'keys reach the filter, and what is folded has its words'() {
        await open(1600);
        await give(badDay());
        const press = (node, key) => node.dispatchEvent(
            new KeyboardEvent('keydown', {key, bubbles: true}));
        press(page().body, '/');
        expect('focus', page().activeElement === one('#filter'));
        type('postgres');
        press(one('#filter'), 'Escape');
        expect('empty', one('#filter').value === '' &&
            all('.service').length === 6);
        for (const node of all('button')) {
            expect('a button has a name', node.hidden ||
                node.textContent.trim() !== '');
        }
        for (const node of all('.row .label')) {
            expect('a label is not taken from readers',
                getComputedStyle(node).display !== 'none');
        }
    },

    async 'figures that the page cannot show are said'() {
        await open(1600);
        await give(goodDay());
        frame.contentWindow.fetch = async () =>
            new Response('{"services": [null]}');
        askNow();
        await until('said', () => !one('#lost').hidden &&
            text('#lost').includes('cannot show its answer'));
        await give(goodDay());
        await until('and taken back', () => one('#lost').hidden);
    },

    async 'bad ends are apart, new ones are marked'() {
        await open(1600);
        const status = badDay();
        await give(status);
        expect('failed', text('#ends > .failed').includes('no_upstream'));
        expect('refused', text('#ends > .refused').includes('denied'));
        expect('in order', text('#ends > .ordinary').includes('client_fin'));
        status.time += 10;
        status.services[2].stats.ended_no_upstream += 7;
        await give(status);
        expect('new', text('#ends > .failed').includes('1,291 +7'));
    },

    async 'hostile names do not become markup'() {
        await open(1600);
        await give(hostile());
        const names = all('.name bdi').map((node) => node.textContent).sort();
        expect('every name', JSON.stringify(names) ===
            JSON.stringify([...HOSTILE].sort()));
        expect('no element of them', all('img, script, b').length === 1);
        expect('two rows each', all('tbody tr').length === 2 * HOSTILE.length);
        await sleep(200);
        expect('no code of them ran', window.hacked === undefined &&
            frame.contentWindow.hacked === undefined);
    },

    async 'lost contact is said, with the age of the figures'() {
        await open(1600);
        await give(badDay());
        await fail(async () => { throw new TypeError('refused'); });
        expect('why', text('#lost').includes('Lost contact'));
        await until('the age', () =>
            /figures are [1-9]\d* s old/.test(text('#lost')));
        expect('the old figures stay', all('.service').length === 6);
        await fail(async () => new Response('', {status: 503}));
        await until('503', () => text('#lost').includes('it answers 503'));
        await fail(async () => new Response('<p>'));
        await until('no JSON', () => text('#lost').includes('is not JSON'));
        const status = JSON.stringify(badDay());
        frame.contentWindow.fetch = async () => new Response(status);
        await until('contact again, by itself', () => one('#lost').hidden);
    },

    async 'focus, selection, scroll position and fold outlive new figures'() {
        await open(1600);
        await give(badDay());
        const web = serviceOf('web');
        const button = web.querySelector('button');
        button.click();
        button.focus();
        const name = rowsOf(web)[0].querySelector('bdi').firstChild;
        page().getSelection().setBaseAndExtent(name, 0, name, 9);
        frame.style.height = '400px';
        frame.contentWindow.scrollTo(0, 300);
        await sleep(50);
        const top = frame.contentWindow.scrollY;
        const status = badDay();
        status.services[0].stats.active += 5;
        status.services[3].upstreams[0].state = 'down';
        await give(status);
        expect('scrolled', top > 0);
        expect('the new one is down', serviceOf('ssh').dataset.level === '4');
        expect('order', namesShown() === 'postgres ssh api web mail dns');
        expect('the same element', serviceOf('web') === web);
        expect('focus', page().activeElement === button);
        expect('selection', String(page().getSelection()) === '10.0.0.11');
        expect('open', rowsOf(web).length === 4 &&
            button.getAttribute('aria-expanded') === 'true');
        expect('new figures', web.textContent.includes(
            status.services[0].stats.active.toLocaleString('en')));
    },

    async 'the filter finds services and upstreams'() {
        await open(1600);
        await give(badDay());
        type('10.0.2.22');
        expect('one service', all('.service').length === 1);
        expect('one upstream', rowsOf(serviceOf('api')).length === 1);
        type('is:dead');
        expect('dead', text('.name bdi') === 'postgres' &&
            all('.service').length === 1);
        type('no such thing');
        expect('nothing', !one('#nothing').hidden);
        type('');
        one('#verdict button').click();
        expect('by the verdict', all('.service').length === 1);
        one('#verdict button').click();
        expect('and back', namesShown() === 'postgres api web ssh mail dns');
        one('#trouble').click();
        expect('only trouble', all('.service').length === 2);
        expect('in the address', frame.contentWindow.location.hash ===
            '#trouble=1');
    },

    async 'another process begins its counters anew'() {
        await open(1600);
        const status = badDay();
        await give(status);
        status.stats.uptime_s = 1;
        status.stats.log_lost = 0;
        status.services[0].upstreams[0].stats.total = 1;
        await give(status);
        expect('no notice', one('#notices').children.length === 0);
    },

    async '300 services with 5,000 upstreams'() {
        await open(1600);
        const status = large();
        const begin = performance.now();
        await give(status);
        const first = performance.now() - begin;
        expect('all services', all('.service').length === 300);
        expect('those down', all('tbody tr').length === 50);
        const again = await timeToShow(large);
        expect(`${Math.round(first)} ms`, first < 5000 * slow);
        expect(`again ${again} ms`, again < 2000 * slow);
    },

    async '5,000 upstreams in one service'() {
        await open(1600);
        await give(large(1, 5000));
        const only = one('.service');
        expect('folded', rowsOf(only).length === 5);
        only.querySelector('button').click();
        expect('a part', rowsOf(only).length === 200);
        while (!only.querySelector('.more').hidden) {
            only.querySelector('.more').click();
        }
        expect('all', rowsOf(only).length === 5000);
        const again = await timeToShow(() => large(1, 5000));
        expect(`again ${again} ms`, again < 3000 * slow);
    },

    async 'no page is wider than the screen'() {
        for (const width of [360, 400, 768, 1024, 1600]) {
            await open(width);
            for (const status of [badDay(), hostile(), large(20, 400)]) {
                await give(status);
                all('.service .name button').slice(0, 20)
                    .forEach((button) => button.click());
                const wide = tooWide(width);
                expect(`${width} px: ${wide[0]}`, wide.length === 0);
            }
        }
    },

    async 'no error, nothing against the policy'() {
        expect(problems.join('; '), problems.length === 0);
    },
};

/* ---- run ---- */

const slow = Number(new URLSearchParams(location.search).get('slow') || 1);

async function run() {
    for (const [what, test] of Object.entries(tests)) {
        let error = '';
        try {
            await test();
        } catch (caught) {
            error = caught.message;
        }
        await fetch('report?' + new URLSearchParams({what, error}));
    }
    await fetch('report?done=1');
}

run();
