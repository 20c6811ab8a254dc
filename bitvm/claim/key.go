package claim

import (
	"container/list"
	"sync"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
)

// A keyCache holds prepared keys, those used last, within a bound of memory. It is safe
// for concurrent use.
type keyCache struct {
	in *instruments

	mu    sync.Mutex // guards what follows
	limit int64
	used  int64
	byKey map[string]*list.Element // by encoding, which no two keys share
	order *list.List               // of *cachedKey, that used last in front
}

type cachedKey struct {
	encoded string
	prepare func() (*assertion.Key, error) // prepares it once, and waits for that
}

// bytes is about what the entry takes: every key has one public input.
func (c *cachedKey) bytes() int64 { return assertion.KeyBytes + int64(len(c.encoded)) }

func newKeyCache(limit int64, in *instruments) *keyCache {
	return &keyCache{in: in, limit: limit, byKey: make(map[string]*list.Element), order: list.New()}
}

// get returns vk prepared. Who asks for a key that another prepares waits for him. An
// error is [assertion.Prepare]'s, and is not remembered.
func (c *keyCache) get(vk *groth16.VerifyingKey) (*assertion.Key, error) {
	encoded := string(vk.EncodeEIP197())
	c.mu.Lock()
	element, hit := c.byKey[encoded]
	if hit {
		c.order.MoveToFront(element)
	} else {
		element = c.order.PushFront(&cachedKey{encoded, sync.OnceValues(func() (*assertion.Key, error) { return assertion.Prepare(vk) })})
		c.byKey[encoded] = element
		c.used += element.Value.(*cachedKey).bytes()
	}
	c.shrink()
	c.mu.Unlock()
	c.in.asked(hit)

	key, err := element.Value.(*cachedKey).prepare()
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.byKey[encoded] == element {
			c.drop(element)
			c.in.keyBytes.Set(float64(c.used))
		}
	}
	return key, err
}

// shrink drops the keys that were not used for longest until the rest fits; the key in
// front too, if it alone does not. c.mu is held.
func (c *keyCache) shrink() {
	for c.used > c.limit {
		c.drop(c.order.Back())
	}
	c.in.keyBytes.Set(float64(c.used))
}

// drop forgets an entry. c.mu is held.
func (c *keyCache) drop(element *list.Element) {
	entry := c.order.Remove(element).(*cachedKey)
	delete(c.byKey, entry.encoded)
	c.used -= entry.bytes()
}

func (c *keyCache) resize(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit
	c.shrink()
}

func (c *keyCache) bound() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit
}
