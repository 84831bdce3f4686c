#!/bin/bash
# Rooms include each other in no circle, within a floor or between floors.
#
# A room is a header and the source of the same name: include/FLOOR/x.h and
# src/FLOOR/x.c. A forward declaration is no include, so it breaks a circle.
# For each room that is in a circle, the shortest one is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

find include src -name '*.[ch]' | sort | xargs awk '
    # "src/floor/x.c" and "floor/x.h" are the room "floor/x"; x_absent.c stands
    # in for x.c.
    function room_of(path) {
        sub(/^(include|src)\//, "", path)
        sub(/(_absent)?\.[ch]$/, "", path)
        return path
    }

    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        from = room_of(FILENAME)
        to = room_of(quoted[2])
        if (from == to) {
            next
        }
        if (!((from, to) in places)) {
            uses[from] = uses[from] " " to
        }
        places[from, to] = places[from, to] "\n    " FILENAME ":" FNR \
            ": includes \"" quoted[2] "\""
        if (!(from in known)) {
            known[from] = 1
            rooms[++count] = from
        }
    }

    # Breadth first: the rooms of the shortest way from the room back to itself,
    # "a b a"; "" if there is none.
    function circle_of(room,  queue, head, tail, before, used, n, i, way) {
        queue[tail = 1] = room
        for (head = 1; head <= tail; head++) {
            n = split(uses[queue[head]], used)
            for (i = 1; i <= n; i++) {
                if (!(used[i] in before)) {
                    before[used[i]] = queue[head]
                    queue[++tail] = used[i]
                }
            }
        }
        if (!(room in before)) {
            return ""
        }
        way = room
        do {
            room = before[room]
            way = room " " way
        } while (room != queue[1])
        return way
    }

    # Prints the circle unless those before have every include of it.
    function show(way,  room, n, i, line, fresh) {
        n = split(way, room)
        line = room[1]
        for (i = 1; i < n; i++) {
            line = line " -> " room[i + 1]
            fresh = fresh || !((room[i], room[i + 1]) in shown)
            shown[room[i], room[i + 1]] = 1
            lines[i] = places[room[i], room[i + 1]]
        }
        if (fresh) {
            for (i = 1; i < n; i++) {
                line = line lines[i]
            }
            print "circle: " line >"/dev/stderr"
        }
    }

    END {
        for (i = 1; i <= count; i++) {
            way = circle_of(rooms[i])
            if (way != "") {
                show(way)
                failed = 1
            }
        }
        exit failed
    }'
