/* chunklift-consumer: the journal consumer, and the commands that change a journal while none
 * runs. */
#include "consumer/offline/command.h"
#include "consumer/serve.h"
#include "runtime/endpoint.h"
#include "system/exit_status.h"
#include "system/output.h"
#include "system/signals.h"

int main(int argc, char **argv) {
    struct settings settings;
    struct server *server = NULL;
    output_setup();
    if (argc > 1 && offline_command_exists(argv[1]))
        return output_end(offline_command_run(argc - 1, argv + 1));
    int err = settings_parse(&settings, argc, argv);
    if (err == ERR_AGAIN) {
        settings_release(&settings);
        return output_end(0);
    }
    if (!err)
        err = settings.handles_hangup ? signals_init_with_hangup(false) : signals_init(false);
    if (!err)
        err = server_new(&server, &settings);
    if (!err)
        err = server_run(server);
    server_destroy(&server);
    endpoint_shutdown_all();
    int status = settings.for_cp ? exit_status_for_cp(err) : exit_status_of_run(err);
    settings_release(&settings);
    return output_end(status);
}
