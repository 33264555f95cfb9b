#include "unit.h"

int unit_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            puts(tests[i].name);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--run") == 0)
        cmocka_set_test_filter(argv[2]);
    return _cmocka_run_group_tests(argv[0], tests, count, NULL, NULL);
}
