import com.github.luben.zstd.Zstd;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.zip.CRC32;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads every experience of a topic, once, in Java: with Apache's own Avro and Kafka clients and nothing of this
 * project but its schema files. Prints one line of JSON an experience, then one on stderr with what was dropped.
 *
 * <pre>java -cp 'lib/*' ExperienceReader.java localhost:9092 generals.experiences schemas/generals_schemas/avro</pre>
 */
public final class ExperienceReader {
    public static void main(String[] args) throws IOException {
        if (args.length != 3) {
            System.err.println("usage: ExperienceReader BOOTSTRAP_SERVERS TOPIC FOLDER_OF_SCHEMAS");
            System.exit(2);
        }
        BinaryMessageDecoder<GenericRecord> decoder = decoder(Path.of(args[2]));
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("key.deserializer", ByteArrayDeserializer.class);
        settings.put("value.deserializer", ByteArrayDeserializer.class);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            List<TopicPartition> partitions = consumer.partitionsFor(args[1]).stream()
                    .map(info -> new TopicPartition(info.topic(), info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            readToEnd(consumer, decoder, consumer.endOffsets(partitions));
        }
    }

    private static void readToEnd(
            KafkaConsumer<byte[], byte[]> consumer, BinaryMessageDecoder<GenericRecord> decoder,
            Map<TopicPartition, Long> ends) throws IOException {
        Map<Integer, Mark> marks = new HashMap<>();
        int repeats = 0, rejected = 0;
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            for (ConsumerRecord<byte[], byte[]> message : consumer.poll(java.time.Duration.ofSeconds(1))) {
                checkSum(message);
                GenericRecord fields = decoder.decode(message.value());
                Mark mark = new Mark((long) fields.get("source_offset"), (int) fields.get("batch_index"));
                Mark seen = marks.get(message.partition());
                if (seen != null && mark.compareTo(seen) <= 0) {
                    repeats++;
                    continue;
                }
                marks.put(message.partition(), mark);
                if (fields.get("rejected") != null) {
                    rejected++;
                    continue;
                }
                Batch batch = new Batch(fields);
                for (int step = 0; step < batch.steps; step++) {
                    System.out.println(batch.line(step));
                }
                if (System.out.checkError()) { // nobody reads on, as behind `head`
                    return;
                }
            }
        }
        System.err.printf("{\"repeats\": %d, \"rejected\": %d}%n", repeats, rejected);
    }

    /** Apache's decoder knows the ten bytes before a record. It gets every version there was, and reads as the newest. */
    private static BinaryMessageDecoder<GenericRecord> decoder(Path folder) throws IOException {
        var decoder = new BinaryMessageDecoder<GenericRecord>(
                GenericData.get(), new Schema.Parser().parse(folder.resolve("experience_batch.avsc").toFile()));
        try (var versions = Files.newDirectoryStream(folder.resolve("history"), "experience_batch.v*.avsc")) {
            for (Path version : versions) {
                decoder.addSchema(new Schema.Parser().parse(version.toFile()));
            }
        }
        return decoder;
    }

    /** The last four bytes are the CRC-32 of all before them. */
    private static void checkSum(ConsumerRecord<byte[], byte[]> message) throws IOException {
        byte[] value = message.value();
        CRC32 sum = new CRC32();
        sum.update(value, 0, value.length - 4);
        int stored = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN).getInt(value.length - 4);
        if ((int) sum.getValue() != stored) {
            throw new IOException("the checksum of partition " + message.partition() + ", offset " + message.offset()
                    + " is wrong: the record was damaged on its way");
        }
    }

    /** Collectors deliver at least once, in ascending order; what is not above the last mark of its partition is a repeat. */
    private record Mark(long sourceOffset, int batchIndex) implements Comparable<Mark> {
        @Override
        public int compareTo(Mark other) {
            return sourceOffset != other.sourceOffset
                    ? Long.compare(sourceOffset, other.sourceOffset)
                    : Integer.compare(batchIndex, other.batchIndex);
        }
    }

    /** The experiences of one player in one chunk. Row {@code step} is the state before a step, the row after it the next state. */
    private static final class Batch {
        final int steps, width, height, tiles;
        private final GenericRecord fields;
        private final List<String> planes;
        private final ByteBuffer arrays;
        private final int actions, rewards, armies, bits, armyBytes, planeBytes;
        private final float armyScale;

        Batch(GenericRecord fields) throws IOException {
            this.fields = fields;
            steps = (int) fields.get("steps");
            width = (int) fields.get("width");
            height = (int) fields.get("height");
            tiles = width * height;
            planes = strings(fields.get("planes"));
            if (!fields.get("encoding").toString().equals("nine_planes")) {
                throw new IOException("this reader knows nine_planes, not " + fields.get("encoding"));
            }
            armyScale = parameter("army_scale", 1000f);
            ByteBuffer packed = (ByteBuffer) fields.get("arrays");
            byte[] bytes = Arrays.copyOfRange(packed.array(), packed.arrayOffset() + packed.position(),
                    packed.arrayOffset() + packed.limit());
            arrays = ByteBuffer.wrap(Zstd.decompress(bytes, (int) Zstd.getFrameContentSize(bytes)))
                    .order(ByteOrder.LITTLE_ENDIAN);
            // One after another, as the schema says: scalars, actions, rewards, log_probs if there are any, armies, bits.
            armyBytes = fields.get("army_dtype").toString().equals("u4") ? 4 : 2;
            planeBytes = (tiles + 7) / 8;
            actions = 4 * (steps + 1) * strings(fields.get("scalars")).size();
            rewards = actions + 4 * steps;
            armies = rewards + 4 * steps * ((boolean) fields.get("has_log_probs") ? 2 : 1);
            bits = armies + armyBytes * (steps + 1) * tiles;
        }

        /** The tensor {@code [9, H, W]} of a row, channel by channel; docs/encodings.md says what each is. */
        float[] state(int row) {
            float[] state = new float[9 * tiles];
            for (int y = 0, tile = 0; y < height; y++) {
                for (int x = 0; x < width; x++, tile++) {
                    boolean own = has("own", row, tile), enemy = has("enemy", row, tile);
                    boolean mountain = has("mountain", row, tile), visible = isVisible(row, x, y);
                    float share = Math.min(army(row, tile) / armyScale, 1f);
                    float[] channels = {
                        own ? share : 0, enemy ? share : 0, flag(own), flag(enemy),
                        flag(visible && !own && !enemy && !mountain), flag(has("city", row, tile)), flag(mountain),
                        flag(visible), flag(!visible),
                    };
                    for (int channel = 0; channel < channels.length; channel++) {
                        state[channel * tiles + tile] = channels[channel];
                    }
                }
            }
            return state;
        }

        /** Which of the {@code 8 H W + 1} actions are legal: own tiles with more than one unit move where no mountain is. */
        boolean[] actionMask(int row) {
            int[] dx = {0, 0, -1, 1}, dy = {-1, 1, 0, 0};
            boolean[] legal = new boolean[8 * tiles + 1];
            legal[8 * tiles] = true; // the pass
            String mine = planes.contains("mine") ? "mine" : "own";
            for (int y = 0, tile = 0; y < height; y++) {
                for (int x = 0; x < width; x++, tile++) {
                    for (int direction = 0; direction < 4; direction++) {
                        int toX = x + dx[direction], toY = y + dy[direction];
                        boolean onBoard = 0 <= toX && toX < width && 0 <= toY && toY < height;
                        boolean move = onBoard && has(mine, row, tile) && army(row, tile) > 1
                                && !has("mountain", row, toY * width + toX);
                        legal[4 * tile + direction] = legal[4 * (tiles + tile) + direction] = move;
                    }
                }
            }
            return legal;
        }

        String line(int step) {
            boolean last = step == steps - 1;
            String end = fields.get("end").toString();
            return String.format(
                    "{\"game_id\": \"%s\", \"player\": %d, \"tick\": %d, \"action\": %d, \"reward\": %s, \"terminated\": %b, "
                            + "\"truncated\": %b, \"state\": %d, \"next_state\": %d, \"action_mask\": %d}",
                    fields.get("game_id"), (int) fields.get("player"), (int) fields.get("first_tick") + step,
                    arrays.getInt(actions + 4 * step), arrays.getFloat(rewards + 4 * step),
                    last && end.equals("terminated"), last && end.equals("truncated"),
                    sum(state(step)), sum(state(step + 1)), sum(actionMask(step)));
        }

        private boolean has(String plane, int row, int tile) {
            int start = bits + (row * planes.size() + planes.indexOf(plane)) * planeBytes;
            return (arrays.get(start + tile / 8) >> tile % 8 & 1) == 1;
        }

        /** Own tiles and their eight neighbours are seen. Records of before ADR 0014 say so themselves. */
        private boolean isVisible(int row, int x, int y) {
            if (planes.contains("visible")) {
                return has("visible", row, y * width + x);
            }
            for (int nearY = Math.max(0, y - 1); nearY <= Math.min(height - 1, y + 1); nearY++) {
                for (int nearX = Math.max(0, x - 1); nearX <= Math.min(width - 1, x + 1); nearX++) {
                    if (has("own", row, nearY * width + nearX)) {
                        return true;
                    }
                }
            }
            return false;
        }

        private long army(int row, int tile) {
            int at = armies + armyBytes * (row * tiles + tile);
            return armyBytes == 2 ? Short.toUnsignedLong(arrays.getShort(at)) : Integer.toUnsignedLong(arrays.getInt(at));
        }

        private float parameter(String name, float otherwise) {
            for (var entry : ((Map<?, ?>) fields.get("encoding_params")).entrySet()) {
                if (entry.getKey().toString().equals(name)) {
                    return ((Double) entry.getValue()).floatValue();
                }
            }
            return otherwise;
        }

        private static List<String> strings(Object array) {
            return ((List<?>) array).stream().map(Object::toString).toList();
        }

        private static float flag(boolean value) {
            return value ? 1f : 0f;
        }

        /** CRC-32 of the values as little-endian float32: two readers that print the same hold the same tensor. */
        private static long sum(float[] values) {
            ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
            bytes.asFloatBuffer().put(values);
            CRC32 sum = new CRC32();
            sum.update(bytes.array());
            return sum.getValue();
        }

        /** CRC-32 of the values as a byte each. */
        private static long sum(boolean[] values) {
            CRC32 sum = new CRC32();
            for (boolean value : values) {
                sum.update(value ? 1 : 0);
            }
            return sum.getValue();
        }
    }
}
