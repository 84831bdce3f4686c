/*
 * Answers of /status.json for the tests of the status page and for its picture.
 * They are the same at each call but for the time.
 */
'use strict';

/* Numbers of [0, 1) from a seed. */
function seeded(seed) {
    return () => {
        seed = (seed * 1664525 + 1013904223) % 4294967296;
        return seed / 4294967296;
    };
}

/* A curve of n points about a level: two slow waves and some noise. */
function wave(random, level, n = 120, noise = 0.15) {
    const phase = random() * 6;
    return Array.from({length: n}, (_, i) => Math.max(0, Math.round(level *
        (1 + 0.25 * Math.sin(phase + i / 17) + 0.1 * Math.sin(i / 5) +
            noise * (random() - 0.5)))));
}

function historyOf(random, rate, n = 120) {
    return {
        accepted: wave(random, rate, n), active: wave(random, rate * 22, n),
        bytes_up: wave(random, rate * 900, n),
        bytes_down: wave(random, rate * 21000, n),
        ended_bad: wave(random, rate * 0.004, n, 4),
    };
}

const CAUSES = ['client_fin', 'upstream_fin', 'client_reset', 'upstream_reset',
    'connect_refused', 'connect_timeout', 'no_upstream', 'idle_timeout',
    'read_timeout', 'write_timeout', 'half_close_timeout', 'header_timeout',
    'max_lifetime', 'denied', 'limit_connections', 'limit_source', 'limit_rate',
    'bad_header', 'no_route', 'tls_error', 'drain', 'local_resource',
    'internal', 'loop'];

function endsOf(accepted, some = {}) {
    const ends = {};
    for (const cause of CAUSES) {
        ends['ended_' + cause] = some[cause] || 0;
    }
    ends.ended_client_fin += Math.floor(accepted * 0.71);
    ends.ended_upstream_fin += Math.floor(accepted * 0.22);
    return ends;
}

const DEFAULT_UPSTREAM = {state: 'up', cause: null, weight: 1, backup: false,
    max_connections: 0, check_ms: 0.8, since: null};

function upstream(name, load, options = {}) {
    return {...DEFAULT_UPSTREAM, upstream: name, ...options, stats: {
        active: Math.floor(load), total: Math.floor(load * 811),
        failed: options.failed || 0, bytes_up: Math.floor(load * 711111),
        bytes_down: Math.floor(load * 15511111)}};
}

function service(name, listen, rate, upstreams, options = {}) {
    const random = seeded(name.length * 7919 + rate);
    const history = {...historyOf(random, rate), ...options.history};
    const accepted = Math.floor(rate * 86400);
    return {service: name, mode: options.mode || 'tcp', listen,
        limits: {max_connections: options.max_connections || 0},
        stats: {active: options.active ?? history.active[119], accepted,
            bytes_up: accepted * 900, bytes_down: accepted * 21000,
            ...endsOf(accepted, options.ends), dropped: 0},
        history, upstreams};
}

function processOf(services, options = {}) {
    const sum = (of) => services.reduce((n, one) => n + of(one), 0);
    const history = {interval_s: options.interval_s || 5};
    for (const key of ['accepted', 'active', 'bytes_up', 'bytes_down',
        'ended_bad']) {
        history[key] = Array.from({length: 120}, (_, i) =>
            sum((one) => one.history[key][i] || 0));
    }
    const active = sum((one) => one.stats.active);
    return {version: '0.1.0', time: options.time || Date.now() / 1000,
        stopping: false, stats: {uptime_s: 277000, workers: 4, active,
            accepted: sum((one) => one.stats.accepted),
            bytes_up: sum((one) => one.stats.bytes_up),
            bytes_down: sum((one) => one.stats.bytes_down),
            buffers_lent: 214, buffers_peak: 3120, buffer_bytes: 214 * 16384,
            accept_paused: 2, generation: 7, log_lost: 0,
            connection_limit: 65536, descriptors_limit: 131583,
            descriptors: 2 * active + 31,
            buffer_limit_bytes: 268435456, connections: active,
            ...options.stats},
        history, services};
}

/* What an operator sees on a bad day; it is the picture of the README. */
function badDay(time = Date.now() / 1000) {
    const ramp = Array.from({length: 120}, (_, i) => Math.round(
        i < 70 ? 1650 + 60 * Math.sin(i / 9) : Math.min(2350, 1650 + (i - 70) *
            17 + 30 * Math.sin(i / 4))));
    const outage = Array.from({length: 120}, (_, i) => i < 93 ? 0
        : 9 + Math.round(3 * Math.sin(i)));
    const lull = Array.from({length: 120}, (_, i) => i < 93
        ? 11 + Math.round(2 * Math.sin(i / 6)) : 0);
    return processOf([
        service('web', [':80', ':443'], 220, [
            upstream('10.0.0.11:443', 1680), upstream('10.0.0.12:443', 1644),
            upstream('10.0.0.13:443', 1702, {weight: 2}),
            upstream('10.0.0.19:443', 0, {backup: true})]),
        service('api', ['10.1.0.5:8443'], 96, [
            upstream('10.0.2.21:8443', 1204, {max_connections: 1300,
                check_ms: 2.4}),
            upstream('10.0.2.22:8443', 1146, {max_connections: 1300,
                check_ms: 2.1}),
            upstream('10.0.2.23:8443', 0, {state: 'down', check_ms: null,
                cause: 'status=503', since: time - 1904, failed: 12,
                max_connections: 1300})],
        {max_connections: 2500, active: 2350, history: {active: ramp},
            ends: {limit_source: 210, connect_timeout: 61, tls_error: 38}}),
        service('postgres', ['10.1.0.5:5432'], 11, [
            upstream('10.0.3.31:5432', 0, {state: 'down', check_ms: null,
                cause: 'connect_refused', since: time - 134, failed: 1290}),
            upstream('10.0.3.32:5432', 0, {state: 'down', check_ms: null,
                cause: 'no match', since: time - 260000})],
        {active: 0, max_connections: 400, history: {ended_bad: outage,
            active: lull.map((n) => n * 9), bytes_up: lull.map((n) => n * 5200),
            bytes_down: lull.map((n) => n * 48000)},
        ends: {no_upstream: 1284, connect_refused: 6}}),
        service('ssh', [':22'], 1, [upstream('10.0.0.5:22', 38)],
            {ends: {denied: 4120}, history: {ended_bad: Array(120).fill(0)}}),
        service('mail', [':25', ':587'], 6, [
            upstream('10.0.4.41:25', 61), upstream('10.0.4.42:25', 0,
                {state: 'drain'})],
        {ends: {idle_timeout: 902, header_timeout: 77},
            history: {ended_bad: Array(120).fill(0)}}),
        service('dns', ['10.1.0.5:53'], 740, [
            upstream('10.0.0.53:53', 7712), upstream('10.0.0.54:53', 7690)],
        {mode: 'udp', ends: {idle_timeout: 51000}, active: 15402,
            history: {ended_bad: Array(120).fill(0)}}),
    ], {time});
}

function goodDay(time) {
    return processOf([service('web', [':8080'], 30, [
        upstream('10.0.0.11:80', 330), upstream('10.0.0.12:80', 331)],
    {history: {ended_bad: Array(120).fill(0)}})], {time});
}

/* Names that try to be markup, code, keys of objects, or text of the page. */
const HOSTILE = ['<img src=x onerror="parent.hacked=1">',
    '</script><script>parent.hacked=1</script>', '__proto__', 'constructor',
    '\u202Egnirts desrever', '&lt;b&gt;&amp;', '"\'`${1+1}', 'a'.repeat(300),
    'same', 'same', 'tab\tand  spaces', '\u0000\u001b[31m', ''];

function hostile() {
    return processOf(HOSTILE.map((name) => service(name, [name], 3, [
        upstream(name, 1, {state: 'down', cause: name, since: 1}),
        upstream(name, 1, {state: name})])));
}

/* Each hundredth upstream is down. */
function large(services = 300, upstreams = 5000) {
    const random = seeded(1);
    const each = Math.floor(upstreams / services);
    const list = [];
    for (let i = 0, n = 0; i < services; i++) {
        const mine = [];
        const extra = i < upstreams % services ? 1 : 0;
        for (let j = 0; j < each + extra; j++, n++) {
            mine.push(upstream(`10.${i >> 8}.${i & 255}.${j + 1}:80`,
                random() * 50, n % 100 === 99 ? {state: 'down', cause:
                    'connect_refused', since: 1e9, failed: 5} : {}));
        }
        list.push(service('service-' + i, [`:${10000 + i}`],
            1 + Math.floor(random() * 40), mine,
            {history: {ended_bad: Array(120).fill(0)}}));
    }
    return processOf(list, {stats: {connection_limit: 500000}});
}
