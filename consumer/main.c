/* chunklift-consumer: the journal consumer, and the commands that change a journal while none runs. */
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
    if (argc > 1 && upkeep_command_exists(argv[1]))
        return output_end(upkeep_command(argc - 1, argv + 1));
    int rc = settings_parse(&settings, argc, argv);
    if (rc == ERR_AGAIN) {
        settings_release(&settings);
        return output_end(0);
    }
    if (!rc)
        rc = signals_init(false);
    if (!rc && settings.rereads)
        rc = signals_hangup_is_news();
    if (!rc)
        rc = server_new(&server, &settings);
    if (!rc)
        rc = server_run(server);
    server_destroy(&server);
    endpoint_shutdown_all();
    int status = settings.for_cp ? exit_status_for_cp(rc) : exit_status_of_run(rc);
    settings_release(&settings);
    return output_end(status);
}
