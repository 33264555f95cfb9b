/*
 * Jobs: offer → claim → lease → transfer → result → record → ack, for one upload (docs/PROTOCOL.md, rules 2–4 and 6–12).
 * README.md lists the omissions, and the configurations and mutants of each rule.
 *
 * One upload: chunks 0…NC-1 and, with BEGIN, FINISH and SUPERSEDE, its begin, finish and abort. NU uploaders with SL slots,
 * one consumer, one producer, a store. A killed process restarts at once with empty memory; an
 * uploader then has a new incarnation.
 *
 * There is no clock. A lease expires correctly when its holder is dead or no longer does the job. A lease that expires
 * while its holder works is a *false timeout* and comes from a budget (FT), like every other fault. lease.pml has a clock
 * and shows that no other case exists.
 *
 * The assertions check results, not that a rule was followed: bytes moved twice, a record made twice, an object made
 * of other parts than the recorded ones.
 */

/* ---- configuration ---- */
#ifndef NC
#define NC 1 /* chunks */
#endif
#ifndef NU
#define NU 2 /* uploaders */
#endif
#ifndef SL
#define SL 1 /* slots of each uploader */
#endif
#ifndef UC
#define UC 0 /* kills of each uploader, at most 1 */
#endif
#ifndef CC
#define CC 0 /* kills of the consumer */
#endif
#ifndef CS
#define CS 0 /* clean stops of the consumer */
#endif
#ifndef PC
#define PC 0 /* kills of the producer */
#endif
#ifndef FT
#define FT 0 /* false timeouts */
#endif
#ifndef BR
#define BR 0 /* broken connections: their messages are lost */
#endif
#ifndef LO
#define LO 0 /* lost offers */
#endif
#ifndef DB
#define DB 0 /* duplicated offers, and requests resent although no message was lost */
#endif
#ifndef SP
#define SP 0 /* second leases for stragglers: rule 12 */
#endif
#ifndef LOSEPART
#define LOSEPART 0 /* the store loses a recorded part */
#endif
#ifndef FORGETS
#define FORGETS 0 /* the store forgets the multipart upload */
#endif
#ifndef BATCH
#define BATCH 2 /* messages of each kind that the consumer reads in one round */
#endif
/* BEGIN FINISH SUPERSEDE: with these jobs. FOREIGN: another client has a multipart upload at the same key. */

#ifndef NC_OFFERED
#define NC_OFFERED NC /* 0: only the begin */
#endif
#ifdef FOREIGN
#define KEPT NH /* another client's upload at the same key */
#else
#define KEPT 0
#endif

#define JBEG NC
#define JFIN (NC + 1)
#define JABT (NC + 2)
#define NJ (NC + 3)
#define ALL ((1 << NC) - 1)
#define BIT(j) (1 << (j))
#define REDO(c) (NJ + (c)) /* in the journal only, like: */
#define OPEN 20
#define NS (NU * SL)
#define NH 4 /* maximum number of multipart uploads at the store; 0 is none */

mtype = { CLAIM, HELD, COMPLETE };                      /* to the consumer */
mtype = { GRANT, DENY, DONE, ACK, REFUSED };            /* from the consumer */
mtype = { IDLE, WANTED, ASKED, RUN, MADE, REPORT, SENT, OWN }; /* states of a slot; OWN: it aborts its own upload, rule 10 */
mtype = { OK, GONE, AGAIN };                            /* outcomes; AGAIN is `redo` */

chan offers[NU] = [2] of { byte, byte, byte };          /* job, handle, generation */
chan to_c[NU] = [2] of { mtype, byte, byte, byte, mtype, byte, byte }; /* type, job, handle, generation, outcome, sender, seq */
chan to_u[NU] = [3] of { mtype, byte, byte, byte };     /* type, job, handle or "granted before", generation */

/* the store; the parts of a handle are a bit mask */
byte hs[NH + 1], hp[NH + 1], hg[NH + 1]; /* 0 unknown, 1 open, 2 completed, 3 gone; parts; for which generation */
byte handles;

/* the journal: d… durable, m… the consumer's memory; batch: appended, not yet synced */
byte drec, dbeg, dopen, dgen, dfin, dabt;
byte mrec, mbeg, mopen, mgen, mfin, mabt;
byte made, mmade; /* number of records of chunk 0, durable and in memory: the seq of its last record, which `redo` names */
chan batch = [BATCH + 1] of { byte, byte };
chan acks = [BATCH] of { byte, byte, bit, byte };       /* receiver, job, recorded, generation */
chan claims = [BATCH] of { byte, byte, byte, byte, bit }; /* sender, job, handle, generation, held */
byte owner[NJ], second[NJ]; /* leases: 0 or an incarnation */
#if SP > 0
byte lost[NJ]; /* 1 owner, 2 second: another uploader's result is recorded; this holder may not have received the reply yet */
#endif
bit up = 1, grace, clean, superseded;
bit known[2 * NU + 1]; /* DIR/consumer: uploaders that have sent HELLO */

/* uploaders */
bit inc[NU], conn[NU];
mtype st[NS] = IDLE;
mtype so[NS] = OK;
byte sj[NS], sh[NS], sg[NS], sq[NS];
byte held[NS]; /* rule 6: 1 the slot will claim its job as held, 2 it has sent this claim */
byte since[NS]; /* begin: it was granted before; finish: the record in the PARTS reply */
bit listed[NS];

/* the producer */
byte pk, ph, pg, pout;
bit pdone, pconn = 1;

/* budgets and counters */
byte uc[NU] = UC;
byte cc = CC, cs = CS, pc = PC, ft = FT, br = BR, lo = LO, db = DB, sp = SP, losepart = LOSEPART, forgets = FORGETS;
byte faults; /* faults that permit a second transfer */
byte moved[NC + 1];
byte objects, busy;
byte excused; /* multipart uploads that may stay open */

hidden byte x, y, z;
hidden byte a_j, a_h, a_g, a_who, a_q;
hidden mtype a_o;
hidden byte a_rec;

#define ID(u) (2 * (u) + inc[u] + 1)
#define UP(who) (((who) - 1) / 2)
#define LIVES(who) (ID(UP(who)) == (who))
#define MINE(k) ID((k) / SL)
#define WORKS(k, j) (st[k] != IDLE && st[k] != WANTED && st[k] != OWN && sj[k] == (j))
#define WORKS_FOR(k, who, j) (MINE(k) == (who) && WORKS(k, j))
#if NS == 1
#define ANY(F, a) F(0, a)
#define ANY2(F, a, b) F(0, a, b)
#elif NS == 2
#define ANY(F, a) (F(0, a) || F(1, a))
#define ANY2(F, a, b) (F(0, a, b) || F(1, a, b))
#elif NS == 3
#define ANY(F, a) (F(0, a) || F(1, a) || F(2, a))
#define ANY2(F, a, b) (F(0, a, b) || F(1, a, b) || F(2, a, b))
#else
#define ANY(F, a) (F(0, a) || F(1, a) || F(2, a) || F(3, a))
#define ANY2(F, a, b) (F(0, a, b) || F(1, a, b) || F(2, a, b) || F(3, a, b))
#endif
#define HAS(k, j) (st[k] != IDLE && st[k] != OWN && sj[k] == (j))
#define QUEUED(j) (offers[0] ?? [eval(j), _, _] || offers[NU - 1] ?? [eval(j), _, _])
#define SAYS(u, j) (to_c[u] ?? [_, eval(j), _, _, _, _, _])
#define HEARS(u, j) (to_u[u] ?? [_, eval(j), _, _])
#define PENDING(who, j) (acks ?? [eval(who), eval(j), _, _] || claims ?? [eval(who), eval(j), _, _, _])
/* neither the request nor its reply exists any more */
#define LOST(k, u, j) (!SAYS(u, j) && !PENDING(ID(u), j) && !HEARS(u, j))
/* rule 6: slots with unsent messages about the last epoch */
#define UNHEARD(k, dummy) (held[k] != 0 || st[k] == REPORT || st[k] == SENT)
#define CHUNK(j) ((j) < NC)

inline idle(k) {
    st[k] = IDLE; busy--; so[k] = OK; sj[k] = 0; sh[k] = 0; sg[k] = 0; sq[k] = 0; held[k] = 0; since[k] = 0; listed[k] = 0
}

/* A begin created an upload at the store, and its result is lost. The next holder adopts the upload. After a false timeout this can
 * fail: the second holder may have listed the uploads before this one existed. */
inline note_orphan(k) {
    if
    :: sj[k] == JBEG && ft < FT && (st[k] == MADE || st[k] == REPORT || st[k] == SENT || st[k] == OWN) -> excused++
    :: else
    fi
}

/* ---- the journal ---- */

inline durable(r, h) {
    if
    :: r < NC ->
        assert((drec & BIT(r)) == 0);                   /* one record for each chunk */
        drec = drec | BIT(r);
        if
        :: hp[dbeg] & BIT(r) -> skip
        :: else ->                                      /* wrong: a result was resent after its record was taken back */
            assert(LOSEPART > 0);
            faults++
        fi;
        if :: r == 0 && LOSEPART -> made++ :: else fi
    :: r == JBEG -> assert(dbeg == 0 && (KEPT == 0 || h != KEPT)); dbeg = h; dopen = 1
    :: r == JFIN ->
        assert(dfin == 0);                              /* one finish */
        assert(drec == ALL);                            /* of a complete upload */
        assert(hs[dbeg] == 2);                          /* and completed at the store */
        dfin++
    :: r == JABT -> assert(hs[dbeg] != 2); dabt = 1; drec = 0; dbeg = 0; dopen = 0; dgen++
    :: r == OPEN -> dopen = 1
    :: r >= NJ && r != OPEN ->
        assert(h == made);                              /* redo takes back the record found missing, not a later one */
        drec = drec & ~BIT(r - NJ)
    fi
}

inline remember() {
    mrec = drec; mbeg = dbeg; mopen = dopen; mgen = dgen; mfin = dfin; mabt = dabt; mmade = made
}

inline append(r, h) {
    batch!r, h;
    if
    :: r < NC -> mrec = mrec | BIT(r); if :: r == 0 && LOSEPART -> mmade++ :: else fi
    :: r == JBEG -> mbeg = h; mopen = 1
    :: r == JFIN -> mfin++
    :: r == JABT -> mabt = 1; mrec = 0; mbeg = 0; mopen = 0; mgen++
    :: r == OPEN -> mopen = 1
    :: r >= NJ && r != OPEN -> mrec = mrec & ~BIT(r - NJ)
    fi
}

inline commit() {
    do
    :: batch?x, y -> durable(x, y)
    :: empty(batch) -> break
    od
}

#if SP > 0
#define NOT_LOST(j, which) lost[j] = lost[j] & ~(which)
#define IS_LOST(j, which) (lost[j] & (which))
#else
#define NOT_LOST(j, which) skip
#define IS_LOST(j, which) 0
#endif

inline end_leases() {
    x = 0;
    do
    :: x < NJ -> owner[x] = 0; second[x] = 0; NOT_LOST(x, 3); x++
    :: else -> break
    od
}

/* ---- the consumer ---- */

inline answer(who, type, j, h, g) {
    if
    :: LIVES(who) && conn[UP(who)] && len(to_u[UP(who)]) < 3 -> to_u[UP(who)]!type, j, h, g
    :: else -> skip                                     /* the receiver is gone, or ROUTER drops the message */
    fi
}

#ifdef MUTANT_LATE_GONE
#define LATE_LOSER 0
#else
#define LATE_LOSER (CHUNK(a_j) && (mrec & BIT(a_j))) /* the loser of two transfers; the object may be complete by now */
#endif

#ifdef MUTANT_REDO_TWICE
#define NAMES_THE_LAST 1
#else
#define NAMES_THE_LAST (a_q == mmade) /* a resent redo names a record that is already taken back */
#endif
#ifdef MUTANT_REDO_ANYBODY
#define OTHER_FINISHES 0
#else
#define OTHER_FINISHES (owner[JFIN] != 0 && owner[JFIN] != a_who) /* this uploader checks the parts itself */
#endif

#ifdef KEYS
#define HOLDS(j) (owner[j] == a_who || second[j] == a_who) /* rule 15 */
#else
#define HOLDS(j) 1
#endif

/* a_rec: recorded or refused */
inline judge_result() {
    a_rec = 0;
    if
#ifndef MUTANT_HANDLE
    :: a_g != mgen -> skip                              /* the upload of this generation has ended */
    :: a_g == mgen && (mfin || superseded && mabt) -> a_rec = (a_j == JFIN && mfin)
    :: a_g == mgen && !mfin && !(superseded && mabt) ->
#else
    :: true ->
#endif
        if
        :: a_o == OK && a_j == JBEG ->
            a_rec = 1;
            if :: mbeg == 0 -> append(JBEG, a_h) :: else fi
        :: a_o == OK && CHUNK(a_j) ->
#ifdef MUTANT_HANDLE
            a_rec = 1;
#else
            a_rec = (a_h == mbeg);
#endif
#ifdef MUTANT_TWO_RECORDS
            if :: a_rec -> append(a_j, 0) :: else fi
#else
            if :: a_rec && !(mrec & BIT(a_j)) -> append(a_j, 0) :: else fi
#endif
        :: a_o == OK && a_j == JFIN ->
            a_rec = (a_h == mbeg && mrec == ALL);
            if :: a_rec -> append(JFIN, 0) :: else fi
        :: a_o == OK && a_j == JABT ->
            a_rec = (a_h == mbeg && mopen);
            if :: a_rec -> append(JABT, 0) :: else fi
        :: a_o == AGAIN ->
            a_rec = (a_h == mbeg && !OTHER_FINISHES && HOLDS(JFIN));
            if
            :: a_rec && (mrec & BIT(a_j)) && NAMES_THE_LAST -> append(REDO(a_j), a_q)
            :: else
            fi
        :: a_o == GONE ->
            a_rec = (a_h == mbeg && HOLDS(a_j));
            if
            :: a_rec && !LATE_LOSER -> append(JABT, 0); end_leases()
            :: else
            fi
        fi
    fi
}

#define SETTLES (a_rec && a_o != AGAIN)
/* Leases of other holders on a done job. A chunk may have two leases: the second one lasts until its holder has stopped. */
#if SP > 0 && !defined(MUTANT_LOSER_ENDS)
#define ENDS_OTHERS !CHUNK(a_j)
#else
#define ENDS_OTHERS 1
#endif
inline take_result() {
    judge_result();
    if
    :: owner[a_j] != 0 && a_o != AGAIN && (owner[a_j] == a_who || SETTLES && ENDS_OTHERS) ->
        owner[a_j] = 0; NOT_LOST(a_j, 1)
    :: else
    fi;
    if
    :: second[a_j] != 0 && (second[a_j] == a_who || SETTLES && ENDS_OTHERS) -> second[a_j] = 0; NOT_LOST(a_j, 2)
    :: else
    fi;
#if SP > 0 && !defined(MUTANT_LOSER_ENDS)
    if
    :: SETTLES && CHUNK(a_j) -> lost[a_j] = (owner[a_j] != 0) | (second[a_j] != 0) << 1
    :: else
    fi;
#endif
#ifdef MUTANT_ACK_EARLY
    if :: a_rec -> answer(a_who, ACK, a_j, mbeg, a_g) :: else -> answer(a_who, REFUSED, a_j, 0, a_g) fi
#else
    acks!a_who, a_j, a_rec, a_g
#endif
}

#ifdef MUTANT_SECOND_LEASE
#define LEASED(j) (owner[j] != 0)
#else
#define LEASED(j) (owner[j] != 0 || second[j] != 0)
#endif
#if NC == 1
#define CHUNK_LEASED LEASED(0)
#else
#define CHUNK_LEASED (LEASED(0) || LEASED(1))
#endif

/* rules 9, 10: jobs that must precede */
#define TOO_EARLY                                                                                                     \
    ((CHUNK(a_j) && (EARLY_CHUNK)) || (a_j == JFIN && (EARLY_FINISH)) || (a_j == JABT && (EARLY_ABORT)))
#define EARLY_CHUNK (mbeg == 0 || owner[JABT] != 0)
#ifdef MUTANT_FINISH_EARLY
#define EARLY_FINISH (mbeg == 0 || CHUNK_LEASED)
#else
#ifdef MUTANT_FINISH_LEASE
#define EARLY_FINISH (mbeg == 0 || mrec != ALL)
#else
#define EARLY_FINISH (mbeg == 0 || mrec != ALL || CHUNK_LEASED)
#endif
#endif
#ifdef MUTANT_ABORT_EARLY
#define EARLY_ABORT (!mopen)
#else
#define EARLY_ABORT (!mopen || CHUNK_LEASED || LEASED(JFIN) || LEASED(JBEG))
#endif

inline grant_to(who) {
    if
    :: CHUNK(a_j) -> assert((drec & BIT(a_j)) == 0 || dgen != mgen) /* no grant after a durable record */
    :: else
    fi;
    y = 0;
    if
    :: a_j == JBEG ->
        y = mopen;                                      /* granted before: since_us */
#ifndef MUTANT_NO_INTENT
        if :: mopen == 0 -> append(OPEN, 0); dopen = 1; batch?x, z :: else fi /* on disk before the consumer sends the verdict */
#else
        mopen = 1
#endif
    :: else
    fi;
    answer(who, GRANT, a_j, y, a_g)
}

/* a_rec: claimed as held */
inline judge_claim() {
    if
    :: a_g != mgen || mfin || (superseded && mabt) -> answer(a_who, DENY, a_j, 0, a_g)
#ifndef MUTANT_NO_CHECK
    :: else -> if
    :: CHUNK(a_j) && (mrec & BIT(a_j)) -> answer(a_who, DONE, a_j, 0, a_g)
    :: a_j == JBEG && mbeg != 0 -> answer(a_who, DONE, a_j, 0, a_g)
#endif
    :: else -> if
    :: owner[a_j] == a_who || second[a_j] == a_who -> grant_to(a_who) /* its own lease, granted again */
    :: superseded && a_j != JABT && owner[a_j] != a_who -> answer(a_who, DENY, a_j, 0, a_g)
    :: a_j == JABT && a_h != mbeg && owner[a_j] != a_who -> answer(a_who, DENY, a_j, 0, a_g) /* a begin was recorded after the offer */
    :: else -> if
    :: owner[a_j] != 0 && owner[a_j] != a_who && second[a_j] != a_who ->
        if
        :: sp > 0 && CHUNK(a_j) && second[a_j] == 0 && !grace && !TOO_EARLY -> sp--; second[a_j] = a_who; grant_to(a_who)
        :: answer(a_who, DENY, a_j, 0, a_g)
        fi
    :: owner[a_j] == 0 && !a_rec && TOO_EARLY -> answer(a_who, DENY, a_j, 0, a_g)
#ifndef MUTANT_NO_GRACE
    :: owner[a_j] == 0 && !a_rec && !TOO_EARLY && grace -> answer(a_who, DENY, a_j, 0, a_g)
    :: owner[a_j] == 0 && (a_rec || !TOO_EARLY && !grace) -> owner[a_j] = a_who; grant_to(a_who)
#else
    :: owner[a_j] == 0 && (a_rec || !TOO_EARLY) -> owner[a_j] = a_who; grant_to(a_who)
#endif
    :: else
    fi fi fi
#ifndef MUTANT_NO_CHECK
    fi
#endif
}

inline forget_round() {
    do :: batch?_, _ :: empty(batch) -> break od;
    do :: acks?_, _, _, _ :: empty(acks) -> break od;
    do :: claims?_, _, _, _, _ :: empty(claims) -> break od
}

/* The consumer's sockets close: messages to it are lost; messages from it may have arrived. */
inline sockets_die() {
    z = 0;
    do
    :: z < NU ->
        do :: to_c[z]?_, _, _, _, _, _, _ :: empty(to_c[z]) -> break od;
        if
        :: empty(to_u[z])
        :: nempty(to_u[z])
        :: nempty(to_u[z]) -> do :: to_u[z]?_, _, _, _ :: empty(to_u[z]) -> break od
        fi;
        conn[z] = 0;
        z++
    :: else -> break
    od
}

inline forget_leases() {
    end_leases();
    up = 0; grace = 0; pconn = 0
}

inline read_from(u) {
    if
    :: to_c[u]?COMPLETE, a_j, a_h, a_g, a_o, a_who, a_q -> take_result()
    :: to_c[u]?CLAIM, a_j, a_h, a_g, a_o, a_who, a_q ->
#ifdef MUTANT_CLAIM_EARLY
        a_rec = 0; judge_claim()
#else
        claims!a_who, a_j, a_h, a_g, 0
#endif
    :: to_c[u]?HELD, a_j, a_h, a_g, a_o, a_who, a_q -> claims!a_who, a_j, a_h, a_g, 1
    fi
}

#define READABLE(u) (up && nempty(to_c[u]) && nfull(acks) && nfull(claims) && len(batch) < BATCH)

#ifdef MUTANT_CLEAN_WITH_LEASES
#define NO_LEASES 1
#else
#define NO_LEASES (!CHUNK_LEASED && !LEASED(JBEG) && !LEASED(JFIN) && !LEASED(JABT))
#endif

/* Part of the consumer, like Timer and Grace: a process of its own, so that weak fairness makes it read from every uploader. */
proctype Reader(byte u) {
end:
    do
    :: atomic { READABLE(u) -> read_from(u) }
    od
}

#define RESULT_COMES(u) (to_c[u] ?? [COMPLETE, _, _, _, _, _, _])

proctype Consumer() {
end:
    do
    :: atomic {                                         /* rule 3: the round */
        up && (nempty(acks) || nempty(claims) || nempty(batch)) ->
        commit();
        do
        :: acks?a_who, a_j, a_rec, a_g ->
            if
            :: a_rec -> answer(a_who, ACK, a_j, mbeg, a_g)
            :: else -> answer(a_who, REFUSED, a_j, 0, a_g)
            fi
        :: empty(acks) -> break
        od;
        do
        :: claims?a_who, a_j, a_h, a_g, a_rec -> judge_claim()
        :: empty(claims) -> break
        od
    }
#if CC > 0
    :: atomic {                                         /* killed: any prefix of the batch may be on disk */
        up && cc > 0 && !pdone -> cc--; clean = 0;
        do
        :: batch?x, y -> durable(x, y)
        :: break
        od;
        forget_round(); sockets_die(); forget_leases()
    }
#endif
#if CS > 0
    :: atomic {
        up && cs > 0 && !pdone && !grace && NO_LEASES && empty(batch) && empty(acks) && empty(claims) ->
        cs--; clean = 1; sockets_die(); forget_leases()
    }
#endif
    :: atomic {
        !up -> up = 1; remember(); x = 1; y = 0; z = 0;
        do
        :: x <= 2 * NU ->
            if :: known[x] && LIVES(x) -> y = 1 :: else fi;
            if :: known[x] && !LIVES(x) -> z = 1 :: else fi;
            x++
        :: else -> break
        od;
#ifdef MUTANT_SKIP_GRACE_IF_ONE_DIED
        grace = !clean && y && !z
#else
        grace = !clean && y                             /* rule 6: an uploader of the last epoch may still hold a job */
#endif
    }
    od
}

/* ---- uploaders ---- */

inline moving(k) { /* the first byte may be sent */
    if
    :: CHUNK(sj[k]) -> moved[sj[k]]++; assert(moved[sj[k]] <= 1 + faults + (SP - sp) + LOSEPART + FORGETS)
    :: else
    fi
}

/* A request takes effect at the store. */
#if SP > 0
#define LEGAL_WRITER(k, dummy) (st[k] == RUN && CHUNK(sj[k])) /* no timeout is false here, and a loser writes until it receives the reply */
#else
#define LEGAL_WRITER(k, dummy) (st[k] == RUN && CHUNK(sj[k]) && owner[sj[k]] == MINE(k))
#endif
inline work(k) {
    if
    :: CHUNK(sj[k]) ->
#ifdef SUPERSEDE
        if /* a part in transit at the abort may keep the upload open at the store */
        :: hs[sh[k]] == 3 -> hs[sh[k]] = 1
        :: else
        fi;
#endif
        if
        :: hs[sh[k]] == 1 -> hp[sh[k]] = hp[sh[k]] | BIT(sj[k]); so[k] = OK
        :: hs[sh[k]] != 1 -> so[k] = GONE
        fi;
        st[k] = REPORT
    :: sj[k] == JBEG && since[k] && !listed[k] ->       /* rule 10 */
        x = 1; y = 0; listed[k] = 1;
        do
        :: x <= NH ->
            if
#ifdef MUTANT_ADOPT_PARTS
            :: y == 0 && hs[x] == 1 && hg[x] == sg[k] -> y = x
#else
            :: y == 0 && hs[x] == 1 && hp[x] == 0 && hg[x] == sg[k] -> y = x
#endif
            :: else
            fi;
            x++
        :: else -> break
        od;
#ifndef MUTANT_NO_ADOPT
        if :: y != 0 -> sh[k] = y; st[k] = REPORT :: else fi
#endif
    :: sj[k] == JBEG && !(since[k] && !listed[k]) -> handles++; assert(handles <= NH); hs[handles] = 1; hg[handles] = sg[k]; sh[k] = handles; st[k] = MADE
    :: sj[k] == JFIN ->
        if
        :: hs[sh[k]] == 1 ->
            if
#ifndef MUTANT_NO_REDO
            :: (hp[sh[k]] & sq[k]) != sq[k] -> /* InvalidPart: the parts differ from the records */
                sj[k] = 0; so[k] = AGAIN; sq[k] = since[k] /* the record that PARTS showed */; st[k] = REPORT
#endif
            :: else ->
                objects++;
                assert(hp[sh[k]] == ALL);               /* never an object without one of its chunks */
                assert(drec == ALL);                    /* or with chunks without a durable record */
                assert(!ANY(LEGAL_WRITER, 0));          /* or while a permitted writer exists */
                hs[sh[k]] = 2; st[k] = MADE; so[k] = OK
            fi
#ifdef MUTANT_NO_DOUBT
        :: hs[sh[k]] != 1 -> so[k] = GONE; st[k] = REPORT
#else
        :: hs[sh[k]] == 2 -> so[k] = OK; st[k] = REPORT /* rule 11: HEAD finds the object, with this upload's id */
        :: hs[sh[k]] == 3 || hs[sh[k]] == 0 -> so[k] = GONE; st[k] = REPORT
#endif
        fi
    :: sj[k] == JABT ->
        if :: hs[sh[k]] == 1 -> hs[sh[k]] = 3 :: else fi;
#ifndef MUTANT_NO_LOOK
        x = 1;                                          /* rule 10: its begin was granted, and the result is unknown */
        do
        :: x <= NH && sh[k] == 0 ->
            if :: hs[x] == 1 && hp[x] == 0 && hg[x] == sg[k] -> hs[x] = 3 :: else fi;
            x++
        :: else -> break
        od;
#endif
        so[k] = OK; st[k] = REPORT
    fi
}

#define HAS_HERE(s, j) ((s) / SL == u && HAS(s, j))
proctype Slot(byte k; byte u) {
    byte j, h, g;
end:
    do
    :: atomic {
        st[k] == IDLE && conn[u] && nempty(offers[u]) && !pdone -> offers[u]?j, h, g;
        if
        :: ANY(HAS_HERE, j) -> skip                     /* offered again while a slot does the job */
        :: else ->
            sj[k] = j; sh[k] = h; sg[k] = g; busy++;
#ifdef MUTANT_NO_CLAIM
            st[k] = RUN; moving(k)
#else
            st[k] = WANTED
#endif
        fi;
        j = 0; h = 0; g = 0
    }
    :: atomic { st[k] == WANTED && conn[u] && nfull(to_c[u]) -> to_c[u]!CLAIM, sj[k], sh[k], sg[k], OK, ID(u), 0; st[k] = ASKED }
    :: atomic { st[k] == ASKED && conn[u] && LOST(k, u, sj[k]) -> st[k] = WANTED }
    :: atomic { held[k] == 1 && conn[u] && nfull(to_c[u]) -> to_c[u]!HELD, sj[k], sh[k], sg[k], OK, ID(u), 0; held[k] = 2 }
    :: atomic { held[k] == 2 && conn[u] && LOST(k, u, sj[k]) -> held[k] = 1 }
    :: atomic { st[k] == RUN -> work(k); if :: st[k] == REPORT -> held[k] = 0 :: else fi }
    :: atomic { st[k] == MADE -> st[k] = REPORT; held[k] = 0 } /* the reply, or the result found after a lost reply */
    :: atomic {
        st[k] == REPORT && conn[u] && nfull(to_c[u]) ->
        to_c[u]!COMPLETE, sj[k], sh[k], sg[k], so[k], ID(u), sq[k];
#ifdef MUTANT_FORGET
        idle(k)
#else
        st[k] = SENT
#endif
    }
    :: atomic { st[k] == SENT && conn[u] && LOST(k, u, sj[k]) -> st[k] = REPORT } /* rule 8 */
#if DB > 0
    :: atomic { st[k] == SENT && conn[u] && db > 0 -> db--; st[k] = REPORT }
    :: atomic { st[k] == ASKED && conn[u] && db > 0 -> db--; st[k] = WANTED }
#endif
    :: atomic { st[k] == OWN -> if :: hs[sh[k]] == 1 -> hs[sh[k]] = 3 :: else fi; idle(k) }
    /* BEAT: the slot has no lease (any more), or its job is adopted */
    :: atomic {
        (st[k] == RUN || st[k] == MADE) && held[k] == 0 && up && conn[u] &&
        (owner[sj[k]] != MINE(k) || IS_LOST(sj[k], 1)) && (second[sj[k]] != MINE(k) || IS_LOST(sj[k], 2)) ->
        if
        :: grace && owner[sj[k]] == 0 && sg[k] == mgen && !mfin -> owner[sj[k]] = MINE(k)
        :: else -> note_orphan(k); idle(k)
        fi
    }
    od
}

/* Sets x to the slot of u that has job j, or to NS. */
inline find(u, j) {
    x = u * SL;
    do
    :: x < (u + 1) * SL && !HAS(x, j) -> x++
    :: else -> break
    od;
    if :: x == (u + 1) * SL -> x = NS :: else fi
}

proctype Uploader(byte u) {
    mtype type;
    byte j, h, g;
end:
    do
    :: atomic {
        to_u[u]?type, j, h, g ->
        find(u, j);
        if
        :: x == NS || sg[x] != g -> skip
        :: else -> if
        :: st[x] == ASKED && type == GRANT ->
            st[x] = RUN;
            if
            :: j == JBEG -> since[x] = h
            :: j == JFIN -> sq[x] = drec; since[x] = made; /* the PARTS reply, sent after a commit like every reply */
#ifndef MUTANT_FINISH_EARLY
                if :: drec != ALL -> idle(x) :: else fi
#endif
            :: else
            fi;
            if :: st[x] == RUN -> moving(x) :: else fi
        :: st[x] == ASKED && (type == DENY || type == DONE) ->
            if
            :: type == DONE && g == dgen && LOSEPART == 0 -> assert(j == JBEG && dbeg != 0 || CHUNK(j) && (drec & BIT(j))) /* DONE implies recorded */
            :: else
            fi;
            idle(x)
        :: held[x] != 0 && type == GRANT -> held[x] = 0
        :: held[x] != 0 && (type == DENY || type == DONE) -> note_orphan(x); idle(x)
        :: (st[x] == SENT || st[x] == REPORT) && type == ACK ->
            if
            :: g == dgen && so[x] == OK && CHUNK(j) && LOSEPART == 0 -> assert(drec & BIT(j)) /* ACK implies durable */
            :: g == dgen && so[x] == OK && j == JBEG -> assert(dbeg != 0)
            :: g == dgen && so[x] == OK && j == JFIN -> assert(dfin == 1)
            :: else
            fi;
            if
#ifndef MUTANT_NO_OWN_ABORT
            :: j == JBEG && h != sh[x] -> st[x] = OWN   /* rule 10: another upload is the recorded one */
#endif
            :: else -> idle(x)
            fi
        :: (st[x] == SENT || st[x] == REPORT) && type == REFUSED ->
            if
            :: j == JBEG && so[x] == OK -> st[x] = OWN
            :: else -> idle(x)
            fi
        :: else -> skip
        fi fi;
        type = 0; j = 0; h = 0; g = 0
    }
    :: atomic {                                         /* HELLO, WELCOME */
        !conn[u] && up && empty(to_u[u]) -> conn[u] = 1; known[ID(u)] = 1;
        x = u * SL;
        do
        :: x < (u + 1) * SL ->
            if
            :: st[x] == SENT -> st[x] = REPORT
            :: st[x] == ASKED -> st[x] = WANTED
#ifndef MUTANT_NO_HELD
            :: st[x] == RUN || st[x] == MADE -> held[x] = 1
#endif
            :: else
            fi;
            x++
        :: else -> break
        od
    }
#if UC > 0
    :: atomic {
        uc[u] > 0 && !pdone -> uc[u]--; faults++;
        if :: to_u[u]?_, _, _, _ :: empty(to_u[u]) fi;
        do :: to_u[u]?_, _, _, _ :: empty(to_u[u]) -> break od;
        do :: offers[u]?_, _, _ :: empty(offers[u]) -> break od;
        if /* its last messages may arrive */
        :: nempty(to_c[u])
        :: do :: to_c[u]?_, _, _, _, _, _, _ :: empty(to_c[u]) -> break od
        fi;
        x = u * SL;
        do
        :: x < (u + 1) * SL -> if :: st[x] != IDLE -> note_orphan(x); idle(x) :: else fi; x++
        :: else -> break
        od;
        inc[u] = 1 - inc[u]; conn[u] = 0
    }
#endif
#if BR > 0
    :: atomic {
        br > 0 && conn[u] && !pdone -> br--;
        do :: to_u[u]?_, _, _, _ :: empty(to_u[u]) -> break od;
        do :: to_c[u]?_, _, _, _, _, _, _ :: empty(to_c[u]) -> break od
    }
#endif
    od
}

/* ---- time: leases expire ---- */

/* messages of a dead or idle holder that the consumer has not read yet (rule 3) */
#define SAID(who, j) (to_c[UP(who)] ?? [_, eval(j), _, _, _, eval(who), _] || PENDING(who, j))
#define GRANT_COMES(who, j) (LIVES(who) && to_u[UP(who)] ?? [GRANT, eval(j), _, _])
#define OVER(who, j) (who != 0 && !ANY2(WORKS_FOR, who, j) && !SAID(who, j) && !GRANT_COMES(who, j))

#define EXPIRED(j) pout = pout & ~BIT(j) /* the event; the producer offers the job again */
proctype Timer(byte j) {
end:
    do
    :: atomic { up && OVER(owner[j], j) -> owner[j] = 0; NOT_LOST(j, 1); EXPIRED(j) }
#if SP > 0
    :: atomic { up && OVER(second[j], j) -> second[j] = 0; NOT_LOST(j, 2) }
#endif
#if FT > 0
    :: atomic { up && ft > 0 && owner[j] != 0 && ANY2(WORKS_FOR, owner[j], j) -> ft--; faults++; owner[j] = 0; EXPIRED(j) }
#endif
    od
}

/* Rule 6: the grace period, one lease time, ends. Every holder of a job from the last epoch has reported by then, or it counts
 * as a false timeout. */
proctype Grace() {
end:
    do
    :: atomic { up && grace && !ANY(UNHEARD, 0) && conn[0] && conn[NU - 1] && !RESULT_COMES(0) && !RESULT_COMES(NU - 1) -> grace = 0 }
    od
}

/* ---- faults of the store ---- */

#if LOSEPART + FORGETS > 0
proctype Store() {
end:
    do
    :: atomic { losepart > 0 && hs[1] == 1 && (drec & 1) && (hp[1] & 1) -> losepart--; hp[1] = hp[1] & ~1 }
    :: atomic { forgets > 0 && dbeg != 0 && hs[dbeg] == 1 -> forgets--; hs[dbeg] = 3 }
    od
}
#endif

/* ---- the producer ---- */

#define KNOWN(j) (pk & BIT(j))
#define OUT(j) (pout & BIT(j))
#ifdef BEGIN
#define NEEDS_BEGIN (ph == 0)
#else
#define NEEDS_BEGIN 0
#endif
#define WANTS(j) (pconn && !KNOWN(j) && !OUT(j) && ((j) == JBEG && NEEDS_BEGIN && !superseded || CHUNK(j) && ph != 0 && !superseded || \
                  (j) == JFIN && ph != 0 && (pk & ALL) == ALL && !superseded || (j) == JABT && superseded && dopen))
#define NOBODY_HAS(j) (!QUEUED(j) && !ANY(HAS, j) && owner[j] == 0 && second[j] == 0)

inline push(j) {
    if
    :: nfull(offers[0]) -> offers[0]!j, ph, pg
    :: nfull(offers[NU - 1]) -> offers[NU - 1]!j, ph, pg
    fi;
    pout = pout | BIT(j)
}

#define FACTS (drec | (dbeg != 0) << JBEG | (dfin != 0) << JFIN)
#ifdef SUPERSEDE
#define FINISHED (dabt || dfin || superseded && !mopen && !dopen) /* an upload without an intent ends by itself */
#else
#ifdef FINISH
#define FINISHED (KNOWN(JFIN))
#else
#if NC_OFFERED == 0
#define FINISHED (KNOWN(JBEG))
#else
#define FINISHED ((pk & ALL) == ALL)
#endif
#endif
#endif

#ifdef MUTANT_NO_REOFFER
#define OFFER_AGAIN(j)
#else
#define OFFER_AGAIN(j) :: atomic { OUT(j) && !KNOWN(j) && NOBODY_HAS(j) && up && pconn -> pout = pout & ~BIT(j) }
#endif
#if SP > 0
#define OFFER_TWICE(j) :: atomic { sp > 0 && owner[j] != 0 && OUT(j) && !KNOWN(j) && !QUEUED(j) -> pout = pout & ~BIT(j) }
#elif DB > 0
#define OFFER_TWICE(j) :: atomic { db > 0 && OUT(j) && !KNOWN(j) -> db--; pout = pout & ~BIT(j) }
#else
#define OFFER_TWICE(j)
#endif
#define OFFERS(j)                                                                                                     \
    :: atomic { WANTS(j) && (nfull(offers[0]) || nfull(offers[NU - 1])) -> push(j) } OFFER_AGAIN(j) OFFER_TWICE(j)

proctype Tail() {
end:
    do
    /* TAIL or PLAN: the durable state, at any time (tail.pml has the cursor) */
    :: atomic {
        up && pconn && (pk != FACTS || ph != dbeg || pg != dgen) ->
        if :: pg != dgen -> pout = 0 :: else fi;
        pout = pout & ~(pk ^ FACTS);
        pk = FACTS; ph = dbeg; pg = dgen
    }
    :: atomic {                                         /* WELCOME: PLAN all; offers every job that is neither done nor leased */
        up && !pconn -> pconn = 1; pk = FACTS; ph = dbeg; pg = dgen; pout = 0; x = 0;
        do
        :: x < NJ -> if :: owner[x] != 0 -> pout = pout | BIT(x) :: else fi; x++
        :: else -> break
        od
    }
    od
}

proctype Producer() {
    do
#if NC_OFFERED != 0
    OFFERS(0)
#endif
#if NC > 1
    OFFERS(1)
#endif
#ifdef BEGIN
    OFFERS(JBEG)
#endif
#ifdef FINISH
    OFFERS(JFIN)
#endif
#ifdef SUPERSEDE
    OFFERS(JABT)
    :: atomic { !superseded && dfin == 0 && mfin == 0 && up -> superseded = 1 } /* another source replaces this one at the destination */
#endif
#if LO > 0
    :: atomic { lo > 0 && nempty(offers[0]) -> lo--; offers[0]?_, _, _ }
    :: atomic { lo > 0 && nempty(offers[NU - 1]) -> lo--; offers[NU - 1]?_, _, _ }
#endif
#if PC > 0
    :: atomic {                                         /* offers in the pipes may survive the kill */
        pc > 0 -> pc--; pk = 0; ph = 0; pg = 0; pout = 0; pconn = 0;
        if
        :: skip
        :: do :: offers[0]?_, _, _ :: empty(offers[0]) -> break od;
           do :: offers[NU - 1]?_, _, _ :: empty(offers[NU - 1]) -> break od
        fi
    }
#endif
    :: atomic { FINISHED -> pdone = 1; break }
    od;
    /* All processes are idle: check the uploads left at the store. */
    atomic {
        busy == 0 && up && empty(to_c[0]) && empty(to_c[NU - 1]) && empty(to_u[0]) && empty(to_u[NU - 1]) && empty(acks) && empty(claims) ->
        x = 1; y = 0;
        do
        :: x <= NH -> if :: hs[x] == 1 && x != dbeg && x != KEPT -> y++ :: else fi; x++
        :: else -> break
        od;
        assert(y <= excused);                           /* no open upload that the journal does not know */
#ifdef SUPERSEDE
        assert(dfin || hs[1] != 1 || excused);
#endif
        assert(KEPT == 0 || hs[KEPT] == 1);             /* the other client's upload is unchanged */
        assert(objects <= 1)
    }
}

init {
    atomic {
#ifndef BEGIN
        hs[1] = 1; handles = 1; dbeg = 1; dopen = 1; ph = 1;
#endif
#ifdef FOREIGN
        hs[KEPT] = 1; hp[KEPT] = 1;
#endif
        remember();
        x = 0;
        do
        :: x < NU -> conn[x] = 1; known[ID(x)] = 1; run Uploader(x); run Reader(x); x++
        :: else -> break
        od;
        x = 0;
        do
        :: x < NS -> run Slot(x, x / SL); x++
        :: else -> break
        od;
        run Consumer();
#if CC + CS > 0
        run Grace();
#endif
        run Tail();
        run Producer();
#if NC_OFFERED != 0
        run Timer(0);
#endif
#if NC > 1
        run Timer(1);
#endif
#ifdef BEGIN
        run Timer(JBEG);
#endif
#ifdef FINISH
        run Timer(JFIN);
#endif
#ifdef SUPERSEDE
        run Timer(JABT);
#endif
#if LOSEPART + FORGETS > 0
        run Store();
#endif
    }
}

ltl live { <> pdone }
