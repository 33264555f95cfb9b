#include "producer/cli/chunklift.h"
#include "system/log.h"
#include "system/output.h"
#include <stdbool.h>

int main(int argc, char **argv) {
    output_setup();
    log_setup("chunklift", LOG_INFO, false);
    return output_end(chunklift_run(argc, argv));
}
