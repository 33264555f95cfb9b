/* The reply to SET counts the uploaders that were heard within a lease duration, and their slots. */
#include "consumer_world.h"

static const struct msg_settings *show(void) {
    struct msg m = {.type = MSG_SET};
    world_deliver('R', &m);
    return &world_answer('R', MSG_SETTINGS)->settings;
}

static void test_uploaders_and_slots_are_counted(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    assert_int_equal(show()->uploaders, 0);
    assert_int_equal(show()->fleet_slots, 0);
    world_join();
    assert_int_equal(show()->uploaders, 2); /* without the producer and the reader */
    assert_int_equal(show()->fleet_slots, 16);
}

static void test_silent_uploaders_are_not_counted(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_join();
    world.now += world.o.lease_ms;
    assert_int_equal(show()->uploaders, 2);
    world.now++;
    assert_int_equal(show()->uploaders, 0);
    world_beat('V', NULL, 0, 8);
    assert_int_equal(show()->uploaders, 1);
    assert_int_equal(show()->fleet_slots, 8);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
UNIT_MAIN(TEST(test_uploaders_and_slots_are_counted), TEST(test_silent_uploaders_are_not_counted))
