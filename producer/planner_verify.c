/* Files in FILE_VERIFY: their content is compared with the record, and they are planned again with the result. */
#include "producer/planner.h"
#include "system/clock.h"

/* The file being read if it still has to be read, else the first one that has to be. */
static struct file *planner_verify_pick(const struct planner *p) {
    struct file *first = NULL;
    for (struct file *f = p->files.first; f; f = f->next) {
        if (f->state != FILE_VERIFY)
            continue;
        if (verify_is_reading(&p->verify, f))
            return f;
        first = first ? first : f;
    }
    return first;
}

/* The record is valid for the file. */
static void planner_verify_same(struct planner *p, struct file *f, uint64_t now_ms) {
    f->verified = true;
    if (f->record_differs == DIFFERS_INODE)
        planner_found_unstable(p, f);
    planner_file_replan(p, f, now_ms);
}

/* The file is another one: it is uploaded. */
static void planner_verify_other(struct planner *p, struct file *f, uint64_t now_ms) {
    f->verified = false;
    planner_file_restart(p, f, now_ms);
    f->forced = true;
}

int planner_verify_step(struct planner *p, uint64_t now_ms, bool *more) {
    uint64_t end_ms = clock_ms() + VERIFY_STEP_MS;
    struct file *f = p->draining ? NULL : planner_verify_pick(p);
    *more = f != NULL;
    if (!f) {
        verify_stop(&p->verify);
        return 0;
    }
    int err = verify_prepare(&p->verify);
    if (err)
        return err;
    for (const char *why; f && clock_ms() < end_ms; f = planner_verify_pick(p)) {
        switch (verify_read(&p->verify, f, &why)) {
        case VERIFY_MORE:
            break;
        case VERIFY_SAME:
            planner_verify_same(p, f, now_ms);
            break;
        case VERIFY_OTHER:
            planner_verify_other(p, f, now_ms);
            break;
        case VERIFY_CHANGED:
            planner_file_changed_before_upload(p, f, why, now_ms);
            break;
        case VERIFY_UNREADABLE:
            planner_file_failed(p, f, FAIL_SOURCE, "cannot be read: %s", why);
            break;
        }
    }
    *more = f != NULL;
    return 0;
}
