#include "producer/cli/doctor/doctor_host.h"

#include "producer/cli/ask.h"
#include "producer/cli/doctor/doctor_judge.h"
#include "pure/buf.h"
#include "system/descriptors.h"
#include "system/log.h"
#include "system/resolve.h"
#include <inttypes.h>

#define CONSUMER_WAIT_MS 3000

void doctor_check_limits(struct check_report *r, uint64_t slots) {
    struct check c;
    descriptors_raise();
    doctor_judge_descriptors(&c, descriptors_free(), slots);
    check_report_add(r, "limits", &c);
}

/* ---- keys ---- */

/* "1 consumer, 2 producer" */
static int trust_add_roles(struct buf *out, const struct trust *t) {
    int err = 0;
    for (unsigned role = TRUST_PRODUCER; !err && role <= TRUST_OPERATOR; role <<= 1) {
        size_t count = 0;
        for (size_t i = 0; i < t->key_count; i++)
            count += (t->keys[i].roles & role) != 0;
        if (count)
            err = buf_addf(out, "%s%zu %s", out->len ? ", " : "", count, trust_role_name((enum trust_role)role));
    }
    return err;
}

bool doctor_check_keys(struct check_report *r, const struct key_options *o) {
    char text[CHECK_TEXT_SIZE];
    struct buf roles = BUF_INIT;
    struct check c;
    log_capture(text, sizeof text);
    int err = keys_setup(o, 0);
    log_capture(NULL, 0);
    if (!o->key)
        return true;
    if (err) {
        check_set_text(&c, CHECK_FAIL, text[0] ? text : err_text(err));
        check_report_add(r, "keys", &c);
        return false;
    }
    check_set(&c, CHECK_OK, "", "%s has the public key %s", o->key, keys_own()->public.text);
    check_report_add(r, "key", &c);
    const struct trust *t = keys_trust();
    if (t->key_count == 0)
        check_set(&c, CHECK_WARN, "add the .pub lines of the other hosts", "%s trusts no key", o->trust);
    else
        check_set(&c, CHECK_OK, "", "%s trusts %zu key%s: %s", o->trust, t->key_count, t->key_count == 1 ? "" : "s",
                  trust_add_roles(&roles, t) ? "" : roles.data);
    check_report_add(r, "trust", &c);
    buf_release(&roles);
    return true;
}

/* ---- the consumer ---- */

static int consumer_judge_answer(struct check *c, const char *endpoint) {
    struct session *s = NULL;
    struct msg request = {.type = MSG_STATUS}, *answer;
    char journal[ID_HEX_SIZE];
    int err = ask_open(&s, endpoint);
    if (!err)
        err = ask_consumer(s, &request, MSG_STATE, CONSUMER_WAIT_MS, &answer);
    if (!err) {
        const struct msg_state *state = &answer->state;
        id_to_hex(session_journal(s), journal);
        check_set(c, CHECK_OK, "", "%s answers: process %" PRIu64 ", journal %s in %.*s, protocol version %d", endpoint,
                  state->pid, journal, (int)state->journal_dir.len,
                  state->journal_dir.len ? state->journal_dir.ptr : "", PROTO_VERSION);
    }
    ask_close(&s);
    return err;
}

void doctor_check_consumer(struct check_report *r, const char *endpoint, bool given) {
    char text[CHECK_TEXT_SIZE], reason[RESOLVE_REASON_SIZE];
    struct check c;
    log_capture(text, sizeof text);
    int err = given ? keys_check_option("--consumer", endpoint, TRUST_CONSUMER) : 0;
    if (!err)
        err = consumer_judge_answer(&c, endpoint);
    log_capture(NULL, 0);
    if (err && text[0])
        check_set_text(&c, CHECK_FAIL, text);
    else if (err == ERR_UNREACHABLE)
        check_set(&c, CHECK_FAIL, "start it ('chunklift consumer'), or correct the address", "%s: %s", endpoint,
                  resolve_reason(endpoint, "no consumer answers there", reason, sizeof reason));
    else if (err)
        check_set_text(&c, CHECK_FAIL, err_text(err));
    check_report_add(r, "consumer", &c);
}
