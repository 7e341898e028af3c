using System.IO;
using System.Linq;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.TestKit;
using Lowbit.Training.Export;
using Lowbit.Training.Model;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed class FloatFolderTests
{
    [Theory]
    [InlineData("""{ "model_type": "llama", "vocab_size": 19, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32, "hidden_act": "silu", "rope_theta": 100.0, "tie_word_embeddings": true }""")]
    [InlineData("""{ "model_type": "qwen2", "vocab_size": 19, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 32, "hidden_act": "silu", "rope_theta": 100.0, "tie_word_embeddings": false }""")]
    [InlineData("""{ "model_type": "bitnet", "vocab_size": 19, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32, "hidden_act": "relu2", "rope_theta": 100.0, "tie_word_embeddings": true }""")]
    [InlineData("""{ "model_type": "gpt2", "vocab_size": 19, "n_embd": 16, "n_head": 4, "n_layer": 2, "n_positions": 32, "activation_function": "gelu_new" }""")]
    [InlineData("""{ "model_type": "gpt_neox", "vocab_size": 19, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32, "hidden_act": "gelu", "rope_theta": 100.0 }""")]
    [InlineData("""{ "model_type": "opt", "vocab_size": 19, "hidden_size": 16, "word_embed_proj_dim": 8, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32, "activation_function": "relu", "do_layer_norm_before": false }""")]
    public void AModelMadeFromNothingIsReadBackByTheEngine(string config)
    {
        using TemporaryFolder folder = new();
        string file = folder.Write("tokenizer/config.json", config), output = folder.File("model");
        folder.Write("tokenizer/tokenizer.json", "{}");
        using WorkerPool pool = new(1);
        int[] ids = [.. Enumerable.Range(0, 20).Select(i => i * i % 19)];
        double loss;
        using (TrainableModel model = TrainableModel.Random(ModelConfig.Read(file), 1))
        {
            loss = HeldOutLoss.Measure(model, pool, ids, 20);
            FloatFolder.Write(output, model, (JsonObject)JsonNode.Parse(config)!, Path.GetDirectoryName(file)!, pool);
        }
        Assert.True(File.Exists(Path.Combine(output, "tokenizer.json")));
        using LanguageModel engine = LanguageModel.Open(output);
        using TrainableModel again = TrainableModel.From(engine);
        Assert.Equal(loss, HeldOutLoss.Measure(again, pool, ids, 20), 12);
        using Session session = new(engine, pool, 20, Lowbit.Kernels.ActivationMode.Float);
        Assert.Equal(loss, EngineLoss(session, ids), 1e-4);
    }

    private static double EngineLoss(Session session, int[] ids)
    {
        double sum = 0;
        float[] logits = new float[19];
        for (int t = 0; t + 1 < ids.Length; t++)
        {
            session.Forward([ids[t]], logits);
            sum += Lowbit.Kernels.Softmax.LogSumExp(logits) - logits[ids[t + 1]];
        }
        return sum / (ids.Length - 1);
    }
}
