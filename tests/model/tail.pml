/*
 * TAIL and PLAN: the records that a producer knows (docs/PROTOCOL.md, rules 3 and 13, WELCOME, PLAN, TAIL). jobs.pml lets the
 * producer know every durable record at any time. This model shows that the producer comes to know all of them.
 *
 * The journal is R records, each about another chunk. The consumer keeps RECENT of them in memory. It sends only records that
 * were appended after the producer had planned the upload. It forgets producer and memory when it is killed (CRASH). A
 * connection may break (BREAK); the producer may be killed (KILL).
 *
 * Asserted: a record that the producer believes in is durable. Claimed for all runs with weak fairness: in the end the
 * producer knows all records of the journal.
 */
#ifndef R
#define R 3
#endif
#ifndef RECENT
#define RECENT 1
#endif
#ifndef CRASH
#define CRASH 0
#endif
#ifndef BREAK
#define BREAK 0
#endif
#ifndef KILL
#define KILL 0
#endif

mtype = { HELLO, PLAN, TAIL, WELCOME, PLANNED, RECORDS };

chan to_c = [2] of { mtype, byte, byte };             /* type, number, seq */
chan to_p = [3] of { mtype, byte, byte, byte, bit };  /* type, number, first record or picture, next, resync */

byte durable, gathered, from = 1; /* records; the first one that is in memory */
byte mine[R + 2];                 /* the producer is told of it */
bit up = 1, peer, owned, tailing;
byte since, tail_seq, tail_number;
byte crashes = CRASH, breaks = BREAK, kills = KILL;

bit welcomed, planned;
byte known; /* the records it knows of, a mask */
byte cursor, number, plan_asked, tail_asked; /* 0: nothing asked */

#define ALL(n) ((1 << (n)) - 1)
#define PLAN_IS_LOST (plan_asked != 0 && !to_c ?? [PLAN, eval(plan_asked), _] && !to_p ?? [PLANNED, eval(plan_asked), _, _, _])
#define TAIL_IS_LOST (tail_asked != 0 && !tailing && !to_c ?? [TAIL, eval(tail_asked), _] && !to_p ?? [RECORDS, eval(tail_asked), _, _, _])

inline hang_up() {
    do :: to_c?_, _, _ :: empty(to_c) -> break od;
    do :: to_p?_, _, _, _, _ :: empty(to_p) -> break od
}

#ifdef MUTANT_RECORDS_EARLY
#define SHOWN gathered
#else
#define SHOWN durable
#endif
#ifdef MUTANT_PLAN_EARLY
#define PICTURE gathered
#else
#define PICTURE durable
#endif

/* from `tail_seq` on, one line in an answer; others' records are passed over */
inline answer_tail() {
    tailing = 0;
    if
#ifdef MUTANT_NO_RESYNC
    :: tail_seq < from -> to_p!RECORDS, tail_number, 0, from, 0
#else
    :: tail_seq < from || tail_seq < since -> to_p!RECORDS, tail_number, 0, durable + 1, 1
#endif
    :: else ->
        do
        :: tail_seq <= SHOWN && !mine[tail_seq] -> tail_seq++
        :: else -> break
        od;
        if
        :: tail_seq <= SHOWN -> to_p!RECORDS, tail_number, tail_seq, tail_seq + 1, 0
        :: else -> to_p!RECORDS, tail_number, 0, tail_seq, 0
        fi
    fi;
    tail_seq = 0; tail_number = 0
}

inline forget_peer() {
    peer = 0; owned = 0; tailing = 0; since = 0; tail_seq = 0; tail_number = 0
}

proctype Consumer() {
    byte n, seq;
end:
    do
    :: atomic { up && nfull(to_p) && to_c?[HELLO, _, _] -> to_c?HELLO, n, seq;
        if :: !peer -> peer = 1; since = durable + 1 :: else fi;
        to_p!WELCOME, n, durable + 1, 0, 0; n = 0; seq = 0 }
    :: atomic { up && nfull(to_p) && to_c?[PLAN, _, _] && (gathered == durable || PICTURE != durable) -> to_c?PLAN, n, seq;
        if
        :: peer -> owned = 1; to_p!PLANNED, n, PICTURE, 0, 0
        :: else -> welcomed = 0                         /* ERROR hello-first */
        fi;
        n = 0; seq = 0 }
    :: atomic { up && to_c?[TAIL, _, _] -> to_c?TAIL, n, seq;
        if
        :: peer -> tailing = 1; tail_number = n; tail_seq = seq
        :: else -> welcomed = 0                         /* ERROR hello-first */
        fi;
        n = 0; seq = 0 }
    :: atomic { up && tailing && empty(to_c) && nfull(to_p) -> answer_tail() } /* something new, or its time is over */
    :: atomic { crashes > 0 && up -> crashes--; up = 0;
        if :: durable < gathered -> durable++ :: true fi; /* of the batch a beginning may be on disk */
        gathered = durable; from = durable + 1; forget_peer(); hang_up() }
    :: atomic { !up -> up = 1 }
    od
}

/* Results come in; the round's fdatasync. */
proctype Journal() {
end:
    do
    :: atomic {
        up && gathered < R && gathered < durable + 2 -> gathered++; mine[gathered] = owned;
        if :: gathered >= from + RECENT -> from++ :: else fi
    }
    :: atomic { up && durable < gathered -> durable = gathered }
    od
}

inline next_number() {
    number = number % 6 + 1
}

inline learn(what, n) {
    assert(n <= durable);
    known = known | (what)
}

proctype Producer() {
    mtype type;
    byte n, a, b;
    bit again;
end:
    do
    :: atomic { up && !welcomed && empty(to_p) && empty(to_c) -> to_c!HELLO, 0, 0 }
    :: atomic { welcomed && !planned && plan_asked == 0 && nfull(to_c) -> next_number(); plan_asked = number; to_c!PLAN, number, 0 }
#ifdef MUTANT_CURSOR_LATE
    :: atomic { welcomed && planned && tail_asked == 0 && nfull(to_c) ->
        if :: cursor == 0 -> cursor = durable + 1 :: else fi;
        next_number(); tail_asked = number; to_c!TAIL, number, cursor }
#else
    :: atomic { welcomed && (planned || plan_asked != 0 && !PLAN_IS_LOST) && tail_asked == 0 && nfull(to_c) -> next_number(); tail_asked = number; to_c!TAIL, number, cursor }
#endif
    /* asked again: nothing of it exists any more */
    :: atomic { PLAN_IS_LOST -> plan_asked = 0 }
    :: atomic { TAIL_IS_LOST -> tail_asked = 0 }
    :: atomic {
        to_p?type, n, a, b, again ->
        if
        :: type == WELCOME ->
            welcomed = 1; tail_asked = 0; cursor = a;
#ifdef MUTANT_CURSOR_LATE
            cursor = 0;
#endif
#ifndef MUTANT_NO_REPLAN
            planned = 0; plan_asked = 0
#endif
        :: type == PLANNED && n == plan_asked && !planned -> plan_asked = 0; planned = 1; learn(ALL(a), a)
        :: type == RECORDS && n == tail_asked ->
            tail_asked = 0; cursor = b;
            if :: a != 0 -> learn(1 << (a - 1), a) :: else fi;
            if :: again -> planned = 0; plan_asked = 0 :: else fi
        :: else
        fi;
        type = 0; n = 0; a = 0; b = 0; again = 0
    }
    :: atomic { breaks > 0 -> breaks--; hang_up() }
    :: atomic { kills > 0 -> kills--; hang_up(); forget_peer(); welcomed = 0; planned = 0; known = 0; cursor = 0; plan_asked = 0; tail_asked = 0 }
    od
}

init {
    atomic {
        run Consumer();
        run Journal();
        run Producer()
    }
}

ltl learns { <> [] (durable == R && known == ALL(R)) }
