/*
 * A publisher on libzmq, for libzmq_test.go. It sends messages as bitcoind's
 * CZMQAbstractPublishNotifier does: topic, body and counter, on a PUB socket.
 *
 *   publisher ADDRESS HEARTBEAT
 *
 * HEARTBEAT is the interval of its PINGs in ms, with a time-out and a TTL of
 * four intervals; 0 is none, as with bitcoind. When it is bound it writes the
 * library's version and the address to its output. Each line of its input,
 *
 *   TOPIC SIZE COUNTER TIMES
 *
 * sends TIMES messages with a body of SIZE bytes, each the low byte of the
 * message's counter, with counters from COUNTER, and is answered by a line when
 * they are sent. It ends with its input.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static void must(int rc, const char *what)
{
    if (rc == -1) {
        fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "publisher ADDRESS HEARTBEAT\n");
        return 2;
    }
    void *context = zmq_ctx_new();
    void *pub = zmq_socket(context, ZMQ_PUB);
    int ipv6 = strchr(argv[1], '[') != NULL;
    must(zmq_setsockopt(pub, ZMQ_IPV6, &ipv6, sizeof ipv6), "ZMQ_IPV6");
    int interval = atoi(argv[2]), ttl = 4 * interval, linger = 0;
    must(zmq_setsockopt(pub, ZMQ_LINGER, &linger, sizeof linger), "ZMQ_LINGER");
    if (interval > 0) {
        must(zmq_setsockopt(pub, ZMQ_HEARTBEAT_IVL, &interval, sizeof interval), "ZMQ_HEARTBEAT_IVL");
        must(zmq_setsockopt(pub, ZMQ_HEARTBEAT_TIMEOUT, &ttl, sizeof ttl), "ZMQ_HEARTBEAT_TIMEOUT");
        must(zmq_setsockopt(pub, ZMQ_HEARTBEAT_TTL, &ttl, sizeof ttl), "ZMQ_HEARTBEAT_TTL");
    }
    must(zmq_bind(pub, argv[1]), "bind");

    char address[512];
    size_t length = sizeof address;
    must(zmq_getsockopt(pub, ZMQ_LAST_ENDPOINT, address, &length), "ZMQ_LAST_ENDPOINT");
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    printf("%d.%d.%d %s\n", major, minor, patch, address);
    fflush(stdout);

    char topic[64];
    size_t size;
    uint32_t counter, times;
    while (scanf("%63s %zu %u %u", topic, &size, &counter, &times) == 4) {
        char *body = malloc(size + 1);
        for (uint32_t i = 0; i < times; i++, counter++) {
            unsigned char le[4] = {counter, counter >> 8, counter >> 16, counter >> 24};
            memset(body, (int)(counter & 0xff), size);
            must(zmq_send(pub, topic, strlen(topic), ZMQ_SNDMORE), "send the topic");
            must(zmq_send(pub, body, size, ZMQ_SNDMORE), "send the body");
            must(zmq_send(pub, le, sizeof le, 0), "send the counter");
        }
        free(body);
        printf("sent\n");
        fflush(stdout);
    }
    zmq_close(pub);
    zmq_ctx_term(context);
    return 0;
}
