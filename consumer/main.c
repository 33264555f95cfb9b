/* chunklift-consumer: the journal consumer, and the commands that change a journal while none runs. */
#include "consumer/offline/command.h"
#include "consumer/serve.h"
#include "runtime/endpoint.h"
#include "system/dirs.h"
#include "system/output.h"
#include "system/signals.h"

enum { EXIT_USAGE = 2, EXIT_UNUSABLE = 3 };

static int exit_status(int rc, bool for_cp) {
    if (for_cp && rc == ERR_FULL)
        return CONSUMER_EXIT_FULL;
    if (for_cp && rc == ERR_IO)
        return CONSUMER_EXIT_DISK;
    if (for_cp && rc == ERR_LOST)
        return CONSUMER_EXIT_LOST;
    if (for_cp && rc == ERR_BUSY)
        return CONSUMER_EXIT_BUSY;
    return rc == 0 ? 0 : rc == ERR_USAGE ? EXIT_USAGE : EXIT_UNUSABLE;
}

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
    rc = exit_status(rc, settings.for_cp);
    settings_release(&settings);
    return output_end(rc);
}
