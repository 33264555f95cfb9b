#include "runtime/endpoint.h"
#include "system/channel.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/option_rows.h"
#include "system/output.h"
#include "system/signals.h"
#include "uploader/doctor/examine.h"
#include "uploader/settings.h"
#include "uploader/uploader.h"
#include <signal.h>
#include <sys/resource.h>

/* The process holds credentials, which must not get into a core file. */
static void disable_core_files(void) {
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
}

int main(int argc, char **argv) {
    struct settings settings;
    struct uploader *uploader = NULL;
    output_setup();
    log_setup("chunklift", LOG_INFO, false);
    disable_core_files();
    int err = settings_parse(&settings, argc, argv);
    if (!err) {
        log_setup("chunklift", option_log_level(settings.quiet, settings.verbose),
                  !settings.for_cp && log_goes_to_file());
        log_set_json(settings.json && !settings.doctor); /* its events are checks alone */
        err = log_set_file(settings.log_file);
    }
    bool rereads = settings.log_file || (settings.keys.trust && !settings.for_cp);
    if (!err)
        err = rereads ? signals_init_with_hangup(false) : signals_init(false);
    if (!err)
        err = signals_end_when_hung();
    if (!err && !settings.doctor)
        err = uploader_new(&uploader, &settings);
    int status = 0;
    if (!err && settings.for_cp)
        channel_report_ready();
    if (!err)
        status = settings.doctor ? examine_destination(&settings) : uploader_run(uploader);
    else if (err != SETTINGS_DONE)
        status = exit_status_of_run(err);
    uploader_destroy(&uploader);
    endpoint_shutdown_all();
    settings_release(&settings);
    return output_end(status);
}
