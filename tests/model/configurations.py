"""The searches: every feature in the smallest configuration that has it, and for every rule a mutant without it."""

from spin import Configuration as C
from spin import Mutant

BEGIN_ONLY = "-DBEGIN -DNC_OFFERED=0"

CONFIGURATIONS = [
    # one kill of each process, and one false timeout
    C("kills", "jobs", "-DUC=1 -DCC=1 -DPC=1 -DFT=1"),
    C("kills-quick", "jobs", "-DUC=1 -DCC=1", quick=True),
    # lost and duplicated offers and requests, one broken connection
    C("messages", "jobs", "-DBR=1 -DDB=1 -DLO=1 -DCC=1"),
    # rule 6: restarts after a kill and after a clean stop
    C("restart", "jobs", "-DCC=1 -DCS=1 -DUC=1"),
    # two jobs at a time in one uploader, two records in one batch
    C("slots", "jobs", "-DNC=2 -DSL=2 -DNU=1 -DUC=1 -DCC=1"),
    C("slots-finish", "jobs", "-DNC=2 -DSL=2 -DNU=1 -DCC=1 -DFINISH"),
    C("chunks", "jobs", "-DNC=2 -DCC=1 -DFINISH"),
    # rules 9, 11
    C("finish", "jobs", "-DFINISH -DUC=1 -DCC=1"),
    C("finish-timeout", "jobs", "-DFINISH -DUC=1 -DFT=1"),
    C("redo", "jobs", "-DFINISH -DLOSEPART=1 -DUC=1"),
    C("redo-break", "jobs", "-DFINISH -DLOSEPART=1 -DBR=1"),
    # rule 15
    C("keys-redo", "jobs", "-DKEYS -DFINISH -DLOSEPART=1 -DUC=1"),
    C("keys-gone", "jobs", "-DKEYS -DBEGIN -DFORGETS=1 -DDB=1"),
    # rule 10
    C("begin", "jobs", f"{BEGIN_ONLY} -DUC=1 -DCC=1 -DFT=1"),
    C("begin-foreign", "jobs", f"{BEGIN_ONLY} -DUC=1 -DFOREIGN"),
    C("gone", "jobs", "-DBEGIN -DFORGETS=1 -DDB=1"),
    C("whole", "jobs", "-DBEGIN -DFINISH -DUC=1"),
    C("supersede", "jobs", "-DSUPERSEDE -DUC=1 -DCC=1"),
    C("supersede-begin", "jobs", f"{BEGIN_ONLY} -DSUPERSEDE -DUC=1 -DCC=1"),
    # rule 12
    C("speculation", "jobs", "-DSP=1 -DFINISH -DUC=1"),
    C("speculation-kill", "jobs", "-DSP=1 -DFINISH -DCC=1"),
    # too large for an exhaustive search
    C("everything", "jobs", "-DNC=2 -DSL=2 -DBEGIN -DFINISH -DUC=1 -DCC=1 -DPC=1 -DFT=1", bitstate=31, minutes=1),
    # rules 3, 5, 6 with a clock
    C("lease", "lease", "-DCRASH=1"),
    # rules 3, 13
    C("tail", "tail", "-DCRASH=1 -DBREAK=1", claim="learns"),
    C("tail-kill", "tail", "-DCRASH=1 -DKILL=1", claim="learns"),
    # every upload ends
    C("live", "jobs", "-DLO=1 -DUC=1 -DCC=1", claim="live"),
    C("live-timeout", "jobs", "-DLO=1 -DUC=1 -DFT=1 -DPC=1", claim="live"),
    C("live-whole", "jobs", "-DBEGIN -DFINISH -DUC=1", claim="live"),
]


def _mutant(name, rule, model, defines, claim=""):
    return Mutant(f"MUTANT_{name}", rule, C(f"{model} {defines}", model, defines, claim))


MUTANTS = [
    _mutant("NO_CLAIM", "2", "jobs", "-DDB=1"),
    _mutant("CLAIM_EARLY", "3", "jobs", "-DDB=1 -DCC=1"),
    _mutant("EXPIRE_UNREAD", "3", "lease", ""),
    _mutant("PLAN_EARLY", "3", "tail", "-DCRASH=1", "learns"),
    _mutant("RECORDS_EARLY", "3", "tail", "-DCRASH=1", "learns"),
    _mutant("NO_REOFFER", "4", "jobs", "-DLO=1"),
    _mutant("NO_DEADLINE", "5", "lease", ""),
    _mutant("DEADLINE_FROM_ANSWER", "5", "lease", ""),
    _mutant("NO_GRACE", "6", "jobs", "-DCC=1"),
    _mutant("NO_GRACE", "6", "lease", "-DCRASH=1"),
    _mutant("SHORT_GRACE", "6", "lease", "-DCRASH=1"),
    _mutant("NO_HELD", "6", "jobs", "-DCC=1"),
    _mutant("SKIP_GRACE_IF_ONE_DIED", "6", "jobs", "-DCC=1 -DUC=1"),
    _mutant("CLEAN_WITH_LEASES", "6", "jobs", "-DCS=1"),
    _mutant("NO_CHECK", "7", "jobs", "-DPC=1"),
    _mutant("TWO_RECORDS", "7", "jobs", "-DBR=1"),
    _mutant("HANDLE", "7", "jobs", "-DBEGIN -DFORGETS=1 -DDB=1"),
    _mutant("LATE_GONE", "7", "jobs", "-DFINISH -DFT=1"),
    _mutant("ACK_EARLY", "8", "jobs", ""),
    _mutant("FORGET", "8", "jobs", "-DBR=1"),
    _mutant("FINISH_EARLY", "9", "jobs", "-DFINISH -DLOSEPART=1"),
    _mutant("FINISH_LEASE", "9", "jobs", "-DFINISH -DSP=1"),
    _mutant("ABORT_EARLY", "9", "jobs", "-DSUPERSEDE"),
    _mutant("NO_INTENT", "10", "jobs", f"{BEGIN_ONLY} -DUC=1 -DCC=1"),
    _mutant("NO_LOOK", "10", "jobs", f"{BEGIN_ONLY} -DSUPERSEDE -DUC=1"),
    _mutant("NO_ADOPT", "10", "jobs", f"{BEGIN_ONLY} -DUC=1"),
    _mutant("ADOPT_PARTS", "10", "jobs", f"{BEGIN_ONLY} -DUC=1 -DFOREIGN"),
    _mutant("NO_OWN_ABORT", "10", "jobs", f"{BEGIN_ONLY} -DFT=1"),
    _mutant("NO_DOUBT", "11", "jobs", "-DFINISH -DUC=1"),
    _mutant("NO_REDO", "11", "jobs", "-DFINISH -DLOSEPART=1"),
    _mutant("REDO_TWICE", "11", "jobs", "-DFINISH -DLOSEPART=1 -DBR=1"),
    _mutant("REDO_ANYBODY", "11", "jobs", "-DFINISH -DLOSEPART=1"),
    _mutant("SECOND_LEASE", "12", "jobs", "-DFINISH -DSP=1"),
    _mutant("LOSER_ENDS", "12", "jobs", "-DFINISH -DSP=1"),
    _mutant("NO_RESYNC", "13", "tail", "", "learns"),
    _mutant("NO_REPLAN", "13", "tail", "-DCRASH=1", "learns"),
    _mutant("CURSOR_LATE", "13", "tail", "", "learns"),
]
QUICK_MUTANTS = {"MUTANT_ACK_EARLY", "MUTANT_NO_CHECK", "MUTANT_FORGET"}
