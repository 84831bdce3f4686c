#include "service/turns.h"

#include "base/gcd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MAX (UINT64_C(1) << 20)

/*
 * Nodes of one weight take turns among themselves. So it is enough to compare
 * the next node of each weight: at most TURNS_WEIGHT_MAX, not all.
 */
struct group {
    uint32_t *members; /* nodes of one weight, in order */
    uint32_t size;
    uint32_t turns; /* of each member in the whole sequence */
    uint32_t taken; /* turns so far, of all members */
};

#define GROUPS (TURNS_WEIGHT_MAX + 1)

static uint32_t group_next(const struct group *group)
{
    return group->members[group->taken % group->size];
}

/* Weights to turns: the least numbers of the same ratio, if they fit. Answers
 * their sum. */
static uint32_t groups_set_turns(struct group groups[GROUPS])
{
    uint32_t divisor = 0;
    uint64_t sum = 0;
    uint32_t total = 0;

    for (uint32_t weight = 1; weight < GROUPS; weight++) {
        if (groups[weight].size > 0) {
            divisor = gcd(weight, divisor);
            sum += (uint64_t)weight * groups[weight].size;
        }
    }
    for (uint32_t weight = 1; weight < GROUPS; weight++) {
        struct group *group = &groups[weight];

        if (group->size > 0) {
            group->turns = weight / divisor;
            if (sum / divisor > TURNS_MAX) {
                group->turns = (uint32_t)(weight * TURNS_MAX / sum);
            }
            if (group->turns == 0) {
                group->turns = 1;
            }
            total += group->turns * group->size;
        }
    }
    return total;
}

/* Lays the nodes out in members by weight, in order within each weight. */
static void groups_fill(struct group groups[GROUPS], uint32_t *members,
                        const uint32_t *weights, uint32_t count)
{
    memset(groups, 0, GROUPS * sizeof(*groups));
    for (uint32_t i = 0; i < count; i++) {
        assert(weights[i] <= TURNS_WEIGHT_MAX);
        groups[weights[i]].size++;
    }
    for (uint32_t weight = 0; weight < GROUPS; weight++) {
        groups[weight].members = members;
        members += groups[weight].size;
        groups[weight].size = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct group *group = &groups[weights[i]];

        group->members[group->size++] = i;
    }
}

/* Moves the groups of nodes with turns to the front; answers how many. */
static uint32_t groups_compact(struct group groups[GROUPS])
{
    uint32_t count = 0;

    for (uint32_t weight = 1; weight < GROUPS; weight++) {
        if (groups[weight].size > 0) {
            groups[count++] = groups[weight];
        }
    }
    return count;
}

/* The group whose next member has the greatest sum at this turn; of equal sums
 * the one whose member comes first. */
static struct group *groups_turn(struct group *groups, uint32_t count,
                                 uint32_t total, uint32_t turn)
{
    struct group *best = NULL;
    int64_t greatest = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct group *group = &groups[i];
        int64_t sum = (int64_t)group->turns * ((int64_t)turn + 1) -
                      (int64_t)total * (group->taken / group->size);

        if (best == NULL || sum > greatest ||
            (sum == greatest && group_next(group) < group_next(best))) {
            best = group;
            greatest = sum;
        }
    }
    return best;
}

int turns_init(struct turns *turns, const uint32_t *weights, uint32_t count)
{
    struct group groups[GROUPS];
    uint32_t *members = calloc(count, sizeof(*members));
    uint32_t group_count;

    *turns = (struct turns){0};
    if (members == NULL) {
        return -1;
    }
    groups_fill(groups, members, weights, count);
    turns->count = groups_set_turns(groups);
    assert(turns->count > 0);
    group_count = groups_compact(groups);
    turns->nodes = calloc(turns->count, sizeof(*turns->nodes));
    for (uint32_t i = 0; turns->nodes != NULL && i < turns->count; i++) {
        struct group *group = groups_turn(groups, group_count, turns->count, i);

        turns->nodes[i] = (uint16_t)group_next(group);
        group->taken++;
    }
    free(members);
    return turns->nodes == NULL ? -1 : 0;
}

void turns_fini(struct turns *turns)
{
    free(turns->nodes);
    *turns = (struct turns){0};
}
