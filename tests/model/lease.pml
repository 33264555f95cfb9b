/*
 * Leases with a clock: the right to move bytes (docs/PROTOCOL.md, rules 3, 5, 6). jobs.pml assumes that a lease ends while its
 * holder works only by a false timeout. This model shows that no uploader writes under the lease of another one.
 *
 * One job, two uploaders, one consumer. Time goes in ticks and is the same for all. Each process may take any time for each
 * step, so a stopped process, a consumer that stands still and a late message need no extra case. A message never overtakes an
 * earlier one of its sender. A lease lasts L ticks. A holder asks for more at most once a tick, and checks its deadline before
 * each write of bytes. CRASH: the consumer is killed, and starts again after any time.
 *
 * Asserted: an uploader writes no byte while the consumer has granted the job to the other (5, 6). A lease with a renewal in
 * the consumer's socket is never declared over (3).
 */
#ifndef L
#define L 2
#endif
#ifndef T
#define T 6 /* the end of time */
#endif
#ifndef CRASH
#define CRASH 0
#endif
#define NOBODY 2

mtype = { CLAIM, HELD, BEAT }; /* the questions; an answer is GRANT or NO, and carries the question's time */
mtype = { GRANT, NO };

chan to_c[2] = [2] of { mtype, byte };
chan to_u[2] = [2] of { mtype, byte };
byte now;
bit up = 1;
byte owner = NOBODY, over_at; /* the consumer's lease */
byte grace_until;
bit moves[2], asked[2], beaten[2];
byte deadline[2];
bit conn[2] = 1, ask_held[2];
byte crashes = CRASH;

#define OTHER(u) (1 - (u))

inline take(u, type, sent) {
    if
    :: type == BEAT ->
        if
        :: owner == u -> over_at = now + L; to_u[u]!GRANT, sent
        :: owner == NOBODY && now < grace_until -> owner = u; over_at = now + L; to_u[u]!GRANT, sent
        :: else -> to_u[u]!NO, sent
        fi
    :: type == HELD ->
        if
        :: owner == NOBODY || owner == u -> owner = u; over_at = now + L; to_u[u]!GRANT, sent
        :: else -> to_u[u]!NO, sent
        fi
    :: type == CLAIM ->
        if
#ifdef MUTANT_NO_GRACE
        :: owner == NOBODY || owner == u -> owner = u; over_at = now + L; to_u[u]!GRANT, sent
#else
        :: (owner == NOBODY && now >= grace_until) || owner == u -> owner = u; over_at = now + L; to_u[u]!GRANT, sent
#endif
        :: else -> to_u[u]!NO, sent
        fi
    fi
}

#ifdef MUTANT_EXPIRE_UNREAD
#define DRAINED 1
#else
#define DRAINED (empty(to_c[0]) && empty(to_c[1]))
#endif
#define RENEWAL_COMES(u) (to_c[u] ?? [BEAT, _])

proctype Consumer() {
    mtype type;
    byte sent;
end:
    do
    :: atomic { up && nempty(to_c[0]) && nfull(to_u[0]) -> to_c[0]?type, sent; take(0, type, sent); type = 0; sent = 0 }
    :: atomic { up && nempty(to_c[1]) && nfull(to_u[1]) -> to_c[1]?type, sent; take(1, type, sent); type = 0; sent = 0 }
    :: atomic {
        up && owner != NOBODY && now >= over_at && DRAINED ->
        assert(!RENEWAL_COMES(owner));                  /* rule 3 */
        owner = NOBODY; over_at = 0
    }
    :: atomic {
        crashes > 0 && up -> crashes--; up = 0;
        do :: to_c[0]?_, _ :: empty(to_c[0]) -> break od;
        do :: to_c[1]?_, _ :: empty(to_c[1]) -> break od;
        owner = NOBODY; over_at = 0; conn[0] = 0; conn[1] = 0
    }
#ifdef MUTANT_SHORT_GRACE
    :: atomic { !up -> up = 1; grace_until = now + 1 }
#else
    :: atomic { !up -> up = 1; grace_until = now + L }
#endif
    od
}

#ifdef MUTANT_NO_DEADLINE
#define IN_TIME(u) 1
#else
#define IN_TIME(u) (now < deadline[u])
#endif
#ifdef MUTANT_DEADLINE_FROM_ANSWER
#define UNTIL (now + L)
#else
#define UNTIL (sent + L)
#endif

proctype Uploader(byte u) {
    mtype type;
    byte sent;
end:
    do
    :: atomic { conn[u] && !moves[u] && !asked[u] && nfull(to_c[u]) && now < T -> to_c[u]!CLAIM, now; asked[u] = 1 }
    :: atomic { conn[u] && moves[u] && IN_TIME(u) && !beaten[u] && !ask_held[u] && nfull(to_c[u]) -> to_c[u]!BEAT, now; beaten[u] = 1 }
    :: atomic { conn[u] && moves[u] && IN_TIME(u) && ask_held[u] && nfull(to_c[u]) -> to_c[u]!HELD, now; ask_held[u] = 0; beaten[u] = 1 }
    :: atomic {                                         /* a write of bytes */
        moves[u] && IN_TIME(u) ->
        assert(owner != OTHER(u))
    }
    :: atomic { moves[u] && !IN_TIME(u) -> moves[u] = 0; deadline[u] = 0; ask_held[u] = 0 }
    :: atomic { moves[u] && IN_TIME(u) -> moves[u] = 0; deadline[u] = 0; ask_held[u] = 0 } /* it ends by itself */
    :: atomic {
        nempty(to_u[u]) -> to_u[u]?type, sent; asked[u] = 0;
        if
        :: type == GRANT && UNTIL > deadline[u] && UNTIL > now -> moves[u] = 1; deadline[u] = UNTIL
        :: type == NO -> moves[u] = 0; deadline[u] = 0
        :: else
        fi;
        type = 0; sent = 0
    }
    :: atomic { !conn[u] && up && empty(to_u[u]) -> conn[u] = 1; asked[u] = 0; ask_held[u] = moves[u] }
    od
}

/* The clock goes on when it likes. */
proctype Clock() {
end:
    do
    :: atomic { now < T -> now++; beaten[0] = 0; beaten[1] = 0 }
    od
}

init {
    atomic {
        run Consumer();
        run Uploader(0);
        run Uploader(1);
        run Clock()
    }
}
